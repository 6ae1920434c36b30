/** `tulle tunnel add --attach` with a Docker network of a real dockerd, by its name: before and after its bridge comes and goes. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { needsRoot } from '../support/capabilities.ts';
import { eventually } from '../support/eventually.ts';
import { type TunnelHost, TunnelHosts } from '../support/tunnel-hosts.ts';

const IDLE = 'busybox sleep 99999';

const docker = (subnet: string, address: string) => ({
  segments: { wire: { subnet } },
  hosts: {
    vm1: { links: [{ segment: 'wire', address }], docker: true },
    vm2: { links: [{ segment: 'wire', address: '172.31.0.107' }] },
  },
});

/** MTU of a container's eth0. */
async function mtuOf(host: TunnelHost, container: string): Promise<number> {
  return Number(await host.run(`docker exec ${container} cat /sys/class/net/eth0/mtu`));
}

const untilMtu = (host: TunnelHost, container: string, mtu: number) =>
  eventually(`${container} has MTU ${mtu}`, async () =>
    (await mtuOf(host, container)) === mtu ? true : undefined,
  );

describe('a tunnel of a Docker network', needsRoot, () => {
  test('is found by name, has its containers fitted, and follows the network when that is made anew', async () => {
    await using hosts = await TunnelHosts.create(docker('172.31.0.0/24', '172.31.0.106'));
    const vm1 = hosts.host('vm1');
    await vm1.run('docker network create --subnet 172.18.0.0/16 mynetwork');
    await vm1.run(`docker run --detach --name c1 --net mynetwork --ip 172.18.0.2 ${IDLE}`);
    await vm1.startAgent();
    assert.match(
      await vm1.refusal('add t1 --vni 200 --remote 172.31.0.107 --attach nothing'),
      /attach = "nothing": neither a bridge nor a Docker network of this host has this name/,
    );
    const said = await vm1.tunnel('add t1 --vni 200 --remote 172.31.0.107 --attach mynetwork');
    assert.match(said, /bridge +br-[0-9a-f]{12} of mynetwork/);
    await untilMtu(vm1, 'c1', 1450);

    await vm1.run(`docker run --detach --name c2 --net mynetwork --ip 172.18.0.4 ${IDLE}`);
    await untilMtu(vm1, 'c2', 1450);
    await vm1.run('docker restart --timeout 0 c1');
    await untilMtu(vm1, 'c1', 1450);

    await vm1.run('docker rm --force c1 c2');
    await vm1.run('docker network rm mynetwork');
    await eventually('it waits for its network', async () => {
      const { stdout } = await vm1.tulle('tunnel list');
      return /t1 +waiting/.test(stdout) ? true : undefined;
    });
    await vm1.run('docker network create --subnet 172.18.0.0/16 mynetwork');
    await vm1.run(`docker run --detach --name c3 --net mynetwork ${IDLE}`);
    await untilMtu(vm1, 'c3', 1450);
    const id = (await vm1.run('docker network inspect --format {{.Id}} mynetwork')).slice(0, 12);
    assert.match(await vm1.run('ip link show t1'), new RegExp(`master br-${id} `));

    await vm1.tunnel('delete t1');
    assert.equal(await mtuOf(vm1, 'c3'), 1500);
    assert.doesNotMatch(await vm1.run('ip -brief link'), /^t1/m);
    await vm1.killAgent();
  });
});
