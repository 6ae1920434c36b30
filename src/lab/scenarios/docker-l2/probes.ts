/** What is sent from c1 to c2, to see what passes: small and large packets, and a stream. */
import { counts, sees } from '../../scenario/judges.ts';
import type { Check, CommandSpec } from '../../scenario/scenario.ts';

/** Bytes of the IPv4 and the ICMP header, which `ping -s` does not count. */
const HEADERS = 28;
const ICMP_HEADER = 8;

/** c2, as long as its address is chosen by hand. */
export const C2 = '172.18.0.3';

/** An echo in a packet of so many bytes, which may not be cut into fragments. */
export const echo = (packet: number, to = C2): CommandSpec => ({
  line: `nsenter --net=$SANDBOX1 ping -M do -c 1 -W 2 -s ${packet - HEADERS} ${to}`,
  mayFail: true,
  show: withoutSummary,
});

/** Of what `echo` printed. */
export const echoPasses = (packet: number): Check => ({
  expected: `a packet of ${packet} bytes is answered`,
  judge: sees(new RegExp(`^${packet - HEADERS + ICMP_HEADER} bytes from`, 'm')),
});

/** Of what `echo` printed, where the container has the MTU of the tunnel. */
export const echoRefused: Check = {
  expected: '1500 bytes are refused with the reason',
  judge: sees(/message too long, mtu[=:] ?1450/),
};

function withoutSummary(output: string): string {
  const lines = output.split('\n').filter(line => !/^(---|rtt|$)/.test(line));
  return lines.join('\n');
}

const BYTES = 1_048_576;

/** A web server on c2, with a file of a megabyte. */
export const SERVE: readonly CommandSpec[] = [
  { line: `docker exec c2 dd if=/dev/zero of=/tmp/megabyte bs=${BYTES} count=1`, on: 'vm2', quiet: true },
  { line: 'docker exec c2 httpd -h /tmp', on: 'vm2' },
];

/** c1 fetches it over TCP, and counts the bytes. */
export const fetch = (from = C2): CommandSpec => ({
  line: `docker exec c1 sh -c 'echo "GET /megabyte HTTP/1.0" | nc ${from} 80 | wc -c'`,
});

export const fetched: Check = {
  expected: `more than ${BYTES} bytes arrive: the file and its header`,
  judge: counts(/^(\d+)$/m, bytes => bytes > BYTES, 'bytes'),
};
