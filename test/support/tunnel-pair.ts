/**
 * Two hosts made of network namespaces, joined by a cable and by a VXLAN tunnel over it with VNI 1:
 *
 *     near 192.0.2.1 eth0 ===================== eth0 192.0.2.2 far
 *          10.9.0.1 vx1 ---- VNI 1, UDP 4789 ---- vx1 10.9.0.2
 *          fd09::1                                    fd09::2
 */
import type { TestContext } from 'node:test';
import { eventually } from './eventually.ts';
import { Namespace } from './neighbourhood.ts';

export async function tunnelPair(t: TestContext): Promise<{ near: Namespace; far: Namespace }> {
  const near = new Namespace(t);
  const far = new Namespace(t);
  await near.cable('eth0', '192.0.2.1/24', far, '192.0.2.2/24');
  for (const [host, own, other] of [
    [near, 1, 2],
    [far, 2, 1],
  ] as const) {
    await host.do(
      'ip link set lo up',
      `ip link add vx1 type vxlan id 1 dstport 4789 local 192.0.2.${own} remote 192.0.2.${other} dev eth0`,
      `ip addr add 10.9.0.${own}/24 dev vx1`,
      `ip addr add fd09::${own}/64 dev vx1 nodad`,
      'ip link set vx1 up',
    );
  }
  // An address of IPv6 is used when the kernel has worked on it, which is later than it was given.
  await eventually('they reach each other over IPv6', () => near.reaches('fd09::2'));
  return { near, far };
}
