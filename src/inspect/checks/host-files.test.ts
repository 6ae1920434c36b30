import assert from 'node:assert/strict';
import { test } from 'node:test';
import { STATUS } from '../../../test/support/look-host.ts';
import { diskCauses, subnetFileCauses } from './host-files.ts';

test('the subnet file says what the lease says', () => {
  const found = (text?: string) =>
    subnetFileCauses('/f', text, STATUS).map(({ code, reason }) => `${code} ${reason}`);
  const right = 'FLANNEL_NETWORK=10.3.0.0/16\nFLANNEL_SUBNET=10.3.1.1/24\nFLANNEL_MTU=1450\n';
  assert.deepEqual(found(right), []);
  assert.match(found()[0] ?? '', /SUBNET_FILE_DIFFERS \/f is gone/);
  assert.match(
    found(right.replace('10.3.1.1', '10.3.9.1'))[0] ?? '',
    /10\.3\.9\.0\/24\) than .* \(10\.3\.1\.0\/24\)/,
  );
  assert.match(found(right.replace('1450', '9000'))[0] ?? '', /9000 bytes, and the overlay carries 1450/);
});

test('a full disk is named before it matters', () => {
  const found = (bytes: number, files: number) => diskCauses('/d', { bytes, files }).map(({ code }) => code);
  assert.deepEqual([found(1e9, 1e6), found(4096, 1e6), found(1e9, 0)], [[], ['DISK_FULL'], ['DISK_FULL']]);
  assert.deepEqual(diskCauses('/d', undefined), []);
});
