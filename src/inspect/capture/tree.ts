/**
 * A frame as a tree, a line for each layer with its fields, one step further in for each layer inside a tunnel:
 *
 *     ethernet  7a:28:79:47:af:10 > a2:cf:56:07:01:9c, type 0x0800
 *     ipv4      192.168.65.3 > 192.168.65.4, ttl 64, protocol 17, ...
 *     vxlan     vni 88
 *       ipv4    188.172.3.2 > 188.172.4.2, ttl 63, ...
 */
import type { Layer } from '../decode/layers.ts';
import { icmpText, icmpv6Text } from './icmp-text.ts';
import type { HostNameOf } from './short-form.ts';

const WIDTH = 'ipv6-extension'.length + 1;
const STEP = '  ';

/** Lines without a newline; `indent` before each. */
export function treeOf(layers: readonly Layer[], nameOf: HostNameOf, indent = STEP): string[] {
  const lines: string[] = [];
  let before = indent;
  let hasIp = false;
  for (const layer of layers) {
    const isIp = layer.layer === 'ipv4' || layer.layer === 'ipv6';
    // IP in IP has no header of its own.
    if (isIp && hasIp) before += STEP;
    hasIp ||= isIp;
    lines.push(`${before}${layer.layer.padEnd(WIDTH)}${fieldsOf(layer, nameOf).join(', ')}`.trimEnd());
    if (layer.layer === 'vxlan' || layer.layer === 'flannel-udp') {
      before += STEP;
      hasIp = false;
    }
    const quoted = 'quoted' in layer ? (layer.quoted ?? []) : [];
    lines.push(...treeOf(quoted, nameOf, `${before}${STEP}`));
  }
  return lines;
}

const hex = (value: number, digits = 4) => `0x${value.toString(16).padStart(digits, '0')}`;

/** The fields of one layer, each a few words. */
function fieldsOf(layer: Layer, nameOf: HostNameOf): string[] {
  switch (layer.layer) {
    case 'ethernet':
      return [`${layer.source} > ${layer.destination}`, `type ${hex(layer.type)}`];
    case 'vlan':
      return [`id ${layer.id}`, `priority ${layer.priority}`, `type ${hex(layer.type)}`];
    case 'arp':
      return [
        `operation ${layer.operation}`,
        `sender ${nameOf(layer.sender)} ${layer.senderMac}`,
        `target ${nameOf(layer.target)} ${layer.targetMac}`,
      ];
    case 'ipv4':
      return [
        `${nameOf(layer.source)} > ${nameOf(layer.destination)}`,
        `ttl ${layer.ttl}`,
        `protocol ${layer.protocol}`,
        `length ${layer.totalLength}`,
        `id ${layer.id}`,
        ...(layer.tos === 0 ? [] : [`tos ${hex(layer.tos, 2)}`]),
        ...(layer.dontFragment ? ['may not be fragmented'] : []),
        ...(layer.moreFragments ? ['more fragments'] : []),
        ...(layer.fragmentOffset > 0 ? [`fragment at ${layer.fragmentOffset}`] : []),
        `checksum ${hex(layer.checksum)}`,
      ];
    case 'ipv6':
      return [
        `${nameOf(layer.source)} > ${nameOf(layer.destination)}`,
        `hop limit ${layer.hopLimit}`,
        `next header ${layer.nextHeader}`,
        `payload ${layer.payloadLength}`,
        ...(layer.trafficClass === 0 ? [] : [`class ${hex(layer.trafficClass, 2)}`]),
        `flow ${hex(layer.flowLabel, 5)}`,
      ];
    case 'ipv6-extension':
      return [
        layer.kind,
        `next header ${layer.nextHeader}`,
        ...(layer.fragment === undefined
          ? []
          : [
              `id ${layer.fragment.id}`,
              `at ${layer.fragment.offset}`,
              ...(layer.fragment.more ? ['more'] : []),
            ]),
      ];
    case 'icmp':
      return [icmpText(layer, nameOf), ...icmpFields(layer)];
    case 'icmpv6':
      return [icmpv6Text(layer, nameOf), ...icmpFields(layer)];
    case 'tcp':
      return [
        `${layer.sourcePort} > ${layer.destinationPort}`,
        ...(layer.flags === undefined ? [] : [layer.flags.join(' ') || 'no flags']),
        `seq ${layer.sequence}`,
        ...(layer.acknowledgement === undefined ? [] : [`ack ${layer.acknowledgement}`]),
        ...(layer.window === undefined ? [] : [`window ${layer.window}`]),
        ...(layer.mss === undefined ? [] : [`mss ${layer.mss}`]),
        ...(layer.checksum === undefined ? [] : [`checksum ${hex(layer.checksum)}`]),
      ];
    case 'udp':
      return [
        `${layer.sourcePort} > ${layer.destinationPort}`,
        `length ${layer.length}`,
        `checksum ${hex(layer.checksum)}`,
      ];
    case 'vxlan':
      return [`vni ${layer.vni}`, `flags ${hex(layer.flags, 2)}`];
    case 'flannel-udp':
      return [];
    case 'payload':
      return [`${layer.length} bytes`];
    case 'problem':
      return [layer.text];
  }
}

const icmpFields = ({
  type,
  code,
  id,
  checksum,
}: Readonly<{ type: number; code: number; id?: number; checksum: number }>) => [
  `type ${type}`,
  `code ${code}`,
  ...(id === undefined ? [] : [`id ${id}`]),
  `checksum ${hex(checksum)}`,
];
