/** What etcdctl 3.4 is asked to do, to our store and to etcd. Cases run in order on one store each. */

export interface Case {
  /** Arguments of etcdctl. `$OTHER` is the address of a third, real etcd, one for each store; `$FILE` a file that does not exist. */
  readonly args: readonly string[];
  /** Arguments are replaced by what an earlier case printed: the first match of each pattern in all its output. */
  readonly from?: Readonly<Record<string, RegExp>>;
  readonly input?: string;
  /** Does not end by itself: is interrupted when it has printed so many lines, which is all that it has to say. */
  readonly lines?: number;
  /** Run once, as soon as the store has the watch of the command. */
  readonly meanwhile?: readonly string[];
  /** A key that the command brings to `$OTHER`: it is interrupted only when that is there. */
  readonly brings?: string;
  /** Takes a minute: only in `npm run test:oracle`. */
  readonly slow?: boolean;
  /** Lines of the output that say how fast it was, or which key came first: the shape counts, not the text. */
  readonly loose?: boolean;
}

const LEASE = { $LEASE: /lease ([0-9a-f]{16})/ };

export const CASES: readonly Case[] = [
  { args: ['put', 'foo', 'bar'] },
  { args: ['put', '--prev-kv', 'foo', 'baz'] },
  { args: ['put', '--ignore-value', 'foo'] },
  { args: ['put', '--ignore-value', 'absent'] },
  { args: ['put', 'fog', '1'] },
  { args: ['put', 'from/stdin'], input: 'some value' },
  { args: ['put', '', 'x'] },
  { args: ['get', 'foo'] },
  { args: ['get', 'absent'] },
  { args: ['get', 'foo', '--print-value-only'] },
  { args: ['get', '--prefix', 'fo'] },
  { args: ['get', '--prefix', 'fo', '--keys-only'] },
  { args: ['get', '--prefix', 'fo', '--limit=1'] },
  { args: ['get', '--prefix', 'fo', '--sort-by=MODIFY', '--order=DESCEND'] },
  { args: ['get', '--prefix', 'fo', '--sort-by=VALUE', '--order=ASCEND'] },
  { args: ['get', '--from-key', 'fog'] },
  { args: ['get', 'fog', 'foz'] },
  { args: ['get', '--rev=2', 'foo'] },
  { args: ['get', '--rev=99', 'foo'] },
  { args: ['get', '--consistency=s', 'foo'] },
  { args: ['get', 'foo', '-w', 'json'] },
  { args: ['get', 'foo', '-w', 'fields'] },
  { args: ['get', 'foo', '--hex'] },
  { args: ['txn'], input: 'value("foo") = "baz"\n\nput foo 2\nget foo\n\ndel foo\n\n' },
  { args: ['txn'], input: 'version("foo") > "100"\n\nput foo 3\n\nget --prefix fo\n\n' },
  { args: ['txn', '--interactive'], input: 'mod("foo") < "2"\n\nput a 1\n\nget foo\n\n' },
  { args: ['del', 'fog'] },
  { args: ['del', '--prev-kv', 'from/stdin'] },
  { args: ['del', 'absent'] },
  { args: ['watch', '--rev=2', 'foo'], lines: 12 },
  { args: ['watch', '--prefix', 'w/'], lines: 3, meanwhile: ['put', 'w/1', 'one'] },
  { args: ['watch', '--prev-kv', 'w/1'], lines: 5, meanwhile: ['put', 'w/1', 'two'] },
  { args: ['watch', 'w/1'], lines: 3, meanwhile: ['del', 'w/1'] },
  { args: ['watch', '-i'], input: 'watch foo\nprogress\n', lines: 1 },
  { args: ['del', '--prefix', 'fo'] },
  { args: ['lease', 'grant', '600'] },
  { args: ['lease', 'timetolive', '$LEASE'], from: LEASE },
  { args: ['put', '--lease=$LEASE', 'leased', 'x'], from: LEASE },
  { args: ['lease', 'timetolive', '$LEASE', '--keys'], from: LEASE },
  { args: ['lease', 'list'] },
  { args: ['lease', 'keep-alive', '--once', '$LEASE'], from: LEASE },
  { args: ['lease', 'revoke', '$LEASE'], from: LEASE },
  { args: ['lease', 'revoke', '$LEASE'], from: LEASE },
  { args: ['lease', 'keep-alive', '$LEASE'], from: LEASE },
  { args: ['lease', 'timetolive', '$LEASE'], from: LEASE },
  { args: ['get', 'leased'] },
  { args: ['put', '--lease=4d2', 'leased', 'x'] },
  { args: ['lock', 'door', 'echo', 'inside'] },
  { args: ['elect', 'chair', 'me'], lines: 2 },
  { args: ['compact', '5'] },
  { args: ['compact', '5'] },
  { args: ['compact', '--physical', '6'] },
  { args: ['compact', '9999'] },
  { args: ['get', '--rev=2', 'foo'] },
  { args: ['watch', '--rev=2', 'foo'] },
  { args: ['snapshot', 'save', '$FILE'] },
  { args: ['defrag'] },
  { args: ['endpoint', 'health'] },
  { args: ['endpoint', 'status'], loose: true },
  { args: ['endpoint', 'status', '-w', 'table'], loose: true },
  { args: ['endpoint', 'hashkv'], loose: true },
  { args: ['member', 'list'], loose: true },
  { args: ['alarm', 'list'] },
  { args: ['alarm', 'disarm'] },
  {
    args: ['make-mirror', '--prefix', 'mirrored/', '$OTHER'],
    lines: 0,
    meanwhile: ['put', 'mirrored/1', 'x'],
    brings: 'mirrored/1',
  },
  { args: ['role', 'add', 'reader'] },
  { args: ['role', 'add', 'reader'] },
  { args: ['role', 'grant-permission', 'reader', 'read', 'a', 'c'] },
  { args: ['role', 'grant-permission', '--prefix=true', 'reader', 'readwrite', 'p/'] },
  { args: ['role', 'get', 'reader'] },
  { args: ['role', 'list'] },
  { args: ['user', 'add', 'root:secret'] },
  { args: ['user', 'add', 'ann:secret'] },
  { args: ['user', 'add', 'machine', '--no-password'] },
  { args: ['user', 'grant-role', 'ann', 'reader'] },
  { args: ['user', 'grant-role', 'ann', 'absent'] },
  { args: ['user', 'get', 'ann'] },
  { args: ['user', 'get', 'ann', '--detail'] },
  { args: ['user', 'list'] },
  { args: ['user', 'passwd', 'ann', '--interactive=false'], input: 'changed\n' },
  { args: ['auth', 'enable'] },
  { args: ['user', 'grant-role', 'root', 'root'] },
  { args: ['auth', 'enable'] },
  { args: ['get', 'b'] },
  { args: ['--user=ann:wrong', 'get', 'b'] },
  { args: ['--user=ann:changed', 'get', 'b'] },
  { args: ['--user=ann:changed', 'put', 'b', '1'] },
  { args: ['--user=ann:changed', 'put', 'p/x', '1'] },
  { args: ['--user=ann:changed', 'watch', '--rev=1', 'x'] },
  { args: ['--user=root:secret', 'role', 'revoke-permission', 'reader', 'a', 'c'] },
  { args: ['--user=root:secret', 'user', 'revoke-role', 'ann', 'reader'] },
  { args: ['--user=root:secret', 'user', 'delete', 'ann'] },
  { args: ['--user=root:secret', 'role', 'delete', 'reader'] },
  { args: ['--user=root:secret', 'auth', 'disable'] },
  { args: ['auth', 'disable'] },
  { args: ['check', 'perf'], loose: true, slow: true },
];
