import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Netns } from './netns.ts';
import { readSysctl, writeSysctl } from './sysctl.ts';

const root = process.getuid?.() === 0;

describe('sysctl', () => {
  test('reads a value without its newline, and knows what does not exist', () => {
    assert.match(readSysctl('kernel/osrelease') ?? '', /^\d+\.\d+\S*$/);
    assert.equal(readSysctl('net/ipv4/no_such_parameter'), undefined);
  });

  test('refuses paths that lead elsewhere', () => {
    for (const path of ['', 'kernel', '/etc/passwd', '../../etc/passwd', 'net/../../x', 'net//x', 'a\0/b']) {
      assert.throws(() => readSysctl(path), RangeError, JSON.stringify(path));
    }
  });

  test('writes into one network namespace only', { skip: root ? false : 'needs root' }, () => {
    using one = Netns.anonymous();
    using other = Netns.anonymous();
    const path = 'net/ipv4/conf/lo/rp_filter';
    const before = readSysctl(path, other);
    assert.equal(writeSysctl(path, '2', one), true);
    assert.equal(readSysctl(path, one), '2');
    assert.equal(readSysctl(path, other), before);
    assert.equal(writeSysctl(path, '2', one), false, 'nothing to do');
    assert.throws(() => writeSysctl('net/ipv4/no_such_parameter', '1', one), { code: 'ENOENT' });
  });
});
