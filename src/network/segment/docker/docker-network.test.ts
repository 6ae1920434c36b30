import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DockerNetworkState } from '../../../docker/docker-messages.ts';
import { isContainerName } from '../../../subnet/segment/segment.ts';
import { containersOn } from './docker-network.ts';

test('a container of Docker has a name that can be published, however long its own is, or without one', () => {
  const container = (Name: string, last: number) => ({
    Name,
    MacAddress: `02:00:00:00:00:0${last}`,
    IPv4Address: `10.9.1.${last}/16`,
    IPv6Address: '',
  });
  const Containers = {
    '0123456789abcdef': container('', 1),
    fedcba9876543210: container('n'.repeat(200), 2),
    '00ff': container('web', 3),
  };
  const names = containersOn({ Containers } as unknown as DockerNetworkState).map(one => one.container);
  assert.deepEqual(names, ['0123456789ab', 'n'.repeat(128), 'web']);
  assert.ok(names.every(isContainerName));
});
