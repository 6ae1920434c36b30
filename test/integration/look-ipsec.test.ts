/** The check of IPsec policies, each planted in a namespace of its own. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { checkIpsec } from '../../src/inspect/checks/ipsec.ts';
import { needsRoot } from '../support/capabilities.ts';
import { lookWith } from '../support/look-host.ts';

/** What is planted -> severity and reason of the finding. */
const BLOCKED: Readonly<Record<string, readonly [severity: string, says: RegExp]>> = {
  'src 10.3.1.0/24 dst 10.3.2.0/24 dir out action block': [
    'error',
    /blocks packets of containers of docker1 for those of docker2: src 10.3.1.0\/24 dst 10.3.2.0\/24 dir out$/,
  ],
  'src 10.3.3.0/24 dst 10.3.1.0/24 dir fwd action block': [
    'error',
    /blocks packets of docker3 for containers of docker1/,
  ],
  'src 192.168.65.3 dst 192.168.65.4 proto udp dport 4789 dir out action block': [
    'error',
    /blocks packets of the tunnel to docker2/,
  ],
  'src 192.168.65.4 dst 192.168.65.3 proto udp dir in action block': [
    'error',
    /blocks packets of the tunnel from docker2/,
  ],
  'src 192.168.65.3 dst 192.168.65.4 dir out action block': [
    'error',
    /blocks packets of the tunnel to docker2 and of docker1 itself to docker2/,
  ],
  'src 192.168.65.3 dst 192.168.65.4 proto icmp dir out action block': [
    'warning',
    /blocks ICMP packets of docker1 itself to docker2 outside of the tunnel/,
  ],
};

const HARMLESS = {
  'of others': 'ip xfrm policy add src 10.9.0.0/16 dst 10.3.2.0/24 dir out action block',
  'for another direction': 'ip xfrm policy add src 192.168.65.3 dst 192.168.65.4 dir in action block',
  'that only looks at marked packets':
    'ip xfrm policy add src 10.3.1.0/24 dst 10.3.2.0/24 dir out action block mark 7',
  'behind one that allows': `ip xfrm policy add src 10.3.1.0/24 dst 10.3.2.0/24 dir out action block priority 9
    ip xfrm policy add src 10.3.0.0/16 dst 10.3.0.0/16 dir out action allow priority 8`,
};

describe('policies of IPsec', needsRoot, () => {
  for (const [policy, [severity, says]] of Object.entries(BLOCKED)) {
    test(policy, async () => {
      const found = await lookWith(checkIpsec, { plant: `ip xfrm policy add ${policy}` });
      assert.deepEqual(
        found.map(one => [one.code, one.severity]),
        [['IPSEC_POLICY', severity]],
        JSON.stringify(found),
      );
      assert.match(found[0]?.reason ?? '', says);
    });
  }

  for (const [name, plant] of Object.entries(HARMLESS)) {
    test(`no finding for one ${name}`, async () => {
      assert.deepEqual(await lookWith(checkIpsec, { plant }), []);
    });
  }
});
