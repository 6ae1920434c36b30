/**
 * Output of programs without what differs from run to run and from machine to machine, so that a page of the guide can
 * be compared with what a scenario shows today: addresses of the kernel's own choice, times, counts of time, numbers of
 * processes, links and ports, states that pass. What a reader learns from stays.
 */

const MASKS: readonly (readonly [RegExp, string])[] = [
  [/\b[\da-f]{2}(?::[\da-f]{2}){5}\b/gi, 'MAC'],
  [/\bfe80::[\da-f:]+/gi, 'LINK-LOCAL'],
  [/0x[\da-f]+/gi, 'HEX'],
  // How much is lost is chance where some is lost; none and all are what a reader learns from.
  [/\b(?!0\b)\d+ received, (?!0%|100%)[\d.]+% packet loss/g, 'SOME received'],
  [/\b(?!0\b)(\d+) of (?!\1\b)(\d+) (answered|lost)/g, 'SOME of $2 $3'],
  [/\b[1-9]\d* lost\b/g, 'SOME lost'],
  [/\b[1-9]\d* \([\d.]+ (bytes|[kM]B)\)/g, 'SOME packets'],
  // Errors, learned MAC addresses, keeper of a tunnel: IPv6 makes links speak by themselves.
  [/\b0 +[1-9]\d* +(agent|once)\b/g, '0 SOME $1'],
  // Counters of a link (`ip -s link`): IPv6 speaks by itself.
  [/(\b[RT]X: +bytes +packets +errors +dropped +\w+ +\w+)[\s\d]+/g, '$1 SOME '],
  // Ports that the kernel chooses (net.ipv4.ip_local_port_range).
  [/:(?:3[2-9]\d{3}|[45]\d{4}|6[01]\d{3})\b/g, ':PORT'],
  // The kernel's hash of the inner packet, with a key that is drawn when it boots.
  [/\budp\s+\d+\s+>\s+(4789|8472)\b/g, 'udp PORT > $1'],
  [/\bnamespace \d{8,}/g, 'namespace N'],
  [/\bnet:\[\d+\]/g, 'net:[N]'],
  [/\bpackets [1-9]\d* bytes \d+/g, 'SOME packets'],
  // The VNI of an L2 network is drawn from the large ones.
  [/\bVNI (?!16777215)[1-9]\d{6,7}\b/g, 'VNI N'],
  // Identifiers of hosts, of machines and of the store's leases.
  [/\b[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}\b/g, 'ID'],
  [/\b[\da-f]{16}\b/g, 'ID'],
  // Of a packet, of an echo.
  [/,\s+id\s+\d+/g, ', id N'],
  // Identifiers of Docker and of namespaces, and names made of them.
  [/\b[\da-f]{64}\b/g, 'ID'],
  [/\b(br-|veth|tv)[\da-f]{7,12}\b/g, '$1ID'],
  [/\b(?=[a-z]*\d)(?=\d*[a-z])[a-z\d]{12}(?:[a-z\d]{13})?\b/g, 'ID'],
  [/\/netns\/1-[a-z\d]{10}\b/g, '/netns/1-ID'],
  [/\bSWMTKN-[\w-]+/g, 'TOKEN'],
  [/@(if\d+|eth\d+)\b/g, '@LINK'],
  [/\bifindex \d+|\bid \d{7,}/g, 'NUMBER'],
  [/^\d+: /gm, 'N: '],
  [/^\d+(?= tulle forwarder )/gm, 'N'],
  [/\b(link-netnsid|link-netns) \S+/g, '$1 N'],
  // Neighbors grow old while one looks.
  [/\b(REACHABLE|STALE|DELAY|PROBE)\b/g, 'KNOWN'],
  [/\b(INCOMPLETE|FAILED)\b/g, 'UNKNOWN'],
  // Durations, rates and clocks.
  [/\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?\b/g, 'TIME'],
  [/\b\d\d:\d\d:\d\d(?:\.\d+)?\b/g, 'TIME'],
  [/\b\d+(?:\.\d+)?(?:\/\d+(?:\.\d+)?)*\s*(?:ms|us|µs|s|seconds?|Mbit\/s|Gbit\/s)(?![\w-])/g, 'DURATION'],
  [/\btime=\S+/g, 'time=DURATION'],
  [/\b\d+(?:\.\d+)?% (?:of|as)/g, 'RATIO of'],
  [/\b(pid|seq|ack|checksum|cksum)[ =]\d+/g, '$1 N'],
  // iperf3.
  [/\b\d+\.\d+-\d+\.\d+ +sec\b/g, 'DURATION'],
  [/\b\d+(?:\.\d+)? Mbits\/sec(?: +\d+)?/g, 'RATE'],
  [/\bx \d+\.\d+/g, 'x RATIO'],
];

/** Spaces count as one, and so do ends of lines: columns are as wide as what is in them, and lines are folded. */
export function masked(text: string): string {
  let result = lettered(text);
  for (const [pattern, word] of MASKS) result = result.replaceAll(pattern, word);
  return result.replaceAll(/\s+/g, ' ');
}

/** Networks of which each host gets a part that is drawn: that of flannel, and L2 networks. */
const PARTED = /\b(188\.172|172\.18|172\.30|10\.10|10\.188)\.(\d+)\./g;

/** The first part of a network that a text names becomes A, the next one B. */
function lettered(text: string): string {
  const letters = new Map<string, Map<string, string>>();
  return text.replaceAll(PARTED, (_, network: string, part: string) => {
    const known = letters.get(network) ?? new Map<string, string>();
    letters.set(network, known);
    const letter = known.get(part) ?? String.fromCharCode(65 + known.size);
    known.set(part, letter);
    return `${network}.${letter}.`;
  });
}
