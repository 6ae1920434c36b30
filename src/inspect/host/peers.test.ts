import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { knownDevices, knownLeases, peersOf, subnetsAt } from './peers.ts';

const line = (subnet: string, value: object) =>
  `{"key":"/coreos.com/network/subnets/${subnet}","value":"${Buffer.from(JSON.stringify(value)).toString('base64')}","mod":"3"},`;

test('peers are known from the disk where no agent answers', () => {
  const directory = mkdtempSync(join(tmpdir(), 'tulle-peers-'));
  try {
    const text = [
      '{"version":1,"devices":["flannel.88"],"keys":[',
      line('10.3.1.0-24', { PublicIP: '192.168.65.3', BackendType: 'vxlan' }),
      line('10.3.2.0-24', {
        PublicIP: '192.168.65.4',
        BackendType: 'vxlan',
        BackendData: { VNI: 88, VtepMAC: '02:00:00:00:00:01' },
        TulleHostName: 'docker2',
      }),
      line('nonsense', {}),
      ']}',
      '',
    ].join('\n');
    writeFileSync(join(directory, 'known-a87dabce.json'), text);
    const [peer, ...more] = peersOf(undefined, knownLeases(directory), [Prefix.parse('10.3.1.0/24')]);
    assert.deepEqual(more, []);
    assert.deepEqual(
      [peer?.name, peer?.subnets.join(), peer?.publicIps.join(), String(peer?.vtepMacs.ipv4)],
      ['docker2', '10.3.2.0/24', '192.168.65.4', '02:00:00:00:00:01'],
    );
    // Without the subnet file a host knows its own lease by its address.
    const own = subnetsAt(knownLeases(directory), [Ip.parse('127.0.0.1'), Ip.parse('192.168.65.3')]);
    assert.deepEqual(own.map(String), ['10.3.1.0/24']);
    assert.deepEqual(knownDevices(directory), ['flannel.88']);
    assert.deepEqual([knownLeases(join(directory, 'none')), knownDevices(join(directory, 'none'))], [[], []]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
