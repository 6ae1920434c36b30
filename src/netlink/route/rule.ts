/**
 * Policy routing rules: struct fib_rule_hdr, include/uapi/linux/fib_rules.h.
 *
 *      0      1       2       3      4      5      6      7      8               12
 *     +------+-------+-------+------+------+------+------+------+---------------+
 *     |family|dst len|src len| tos  |table | 0    | 0    |action| flags         |
 *     +------+-------+-------+------+------+------+------+------+---------------+
 */
import type { Writer } from '../../base/bytes.ts';
import { defined } from '../../base/defined.ts';
import type { Family } from '../../base/ip.ts';
import { type AttributeType, attributes, one } from '../attribute.ts';
import { ip, text, u8, u32 } from '../attribute-types.ts';
import { MessageCodec, type Struct } from '../message.ts';
import {
  FIB_RULE_INVERT,
  FR_ACT_TO_TBL,
  FR_ACT_UNSPEC,
  FRA_DPORT_RANGE,
  FRA_DST,
  FRA_FWMARK,
  FRA_FWMASK,
  FRA_GOTO,
  FRA_IIFNAME,
  FRA_IP_PROTO,
  FRA_OIFNAME,
  FRA_PRIORITY,
  FRA_PROTOCOL,
  FRA_SRC,
  FRA_SUPPRESS_PREFIXLEN,
  FRA_TABLE,
  RT_TABLE_MAIN,
  RT_TABLE_UNSPEC,
} from './constants.ts';
import { familyNumber, familyOf, prefixOf } from './family.ts';
import type { NewRule, Rule } from './objects.ts';

export interface RuleHeader {
  readonly family: number;
  readonly destinationLength: number;
  readonly sourceLength: number;
  readonly tos: number;
  readonly table: number;
  readonly action: number;
  readonly flags: number;
}

const ANY_RULE: RuleHeader = {
  family: 0,
  destinationLength: 0,
  sourceLength: 0,
  tos: 0,
  table: 0,
  action: 0,
  flags: 0,
};

const fibRuleHeader: Struct<RuleHeader> = {
  encode(writer, { family, destinationLength, sourceLength, tos, table, action, flags }) {
    writer.u8(family).u8(destinationLength).u8(sourceLength).u8(tos);
    writer.u8(table).zeros(2).u8(action).u32(flags);
  },
  decode(reader) {
    const [family, destinationLength, sourceLength] = [reader.u8(), reader.u8(), reader.u8()];
    const [tos, table] = [reader.u8(), reader.u8()];
    reader.skip(2);
    return { family, destinationLength, sourceLength, tos, table, action: reader.u8(), flags: reader.u32() };
  },
};

/** struct fib_rule_port_range. */
const portRange: AttributeType<{ readonly low: number; readonly high: number }> = {
  encode: (writer, { low, high }) => writer.u16(low).u16(high),
  decode: (reader, length) => (length === 4 ? { low: reader.u16(), high: reader.u16() } : undefined),
};

export const ruleMessage = new MessageCodec(
  'fib_rule_hdr',
  fibRuleHeader,
  attributes({
    destination: one(FRA_DST, ip),
    source: one(FRA_SRC, ip),
    iifName: one(FRA_IIFNAME, text),
    oifName: one(FRA_OIFNAME, text),
    goto: one(FRA_GOTO, u32),
    priority: one(FRA_PRIORITY, u32),
    fwmark: one(FRA_FWMARK, u32),
    fwmask: one(FRA_FWMASK, u32),
    table: one(FRA_TABLE, u32),
    suppressPrefixLength: one(FRA_SUPPRESS_PREFIXLEN, u32),
    protocol: one(FRA_PROTOCOL, u8),
    ipProtocol: one(FRA_IP_PROTO, u8),
    destinationPorts: one(FRA_DPORT_RANGE, portRange),
  }),
);

type RuleFields = NewRule & Partial<Pick<Rule, 'unknown'>>;

/** A rule to look into a table, the main one unless it says which. */
export function writeRule(writer: Writer, rule: RuleFields): void {
  write(writer, rule, { table: RT_TABLE_MAIN, action: FR_ACT_TO_TBL });
}

/** The message that deletes a rule; what is absent matches anything. */
export function writeRuleSelector(writer: Writer, rule: RuleFields): void {
  write(writer, rule, { table: RT_TABLE_UNSPEC, action: FR_ACT_UNSPEC });
}

function write(writer: Writer, rule: RuleFields, otherwise: Pick<Rule, 'table' | 'action'>): void {
  const { family, table = otherwise.table, action = otherwise.action, source, destination, unknown } = rule;
  const { priority, fwmark, fwmask, iifName, oifName, protocol, inverted, suppressPrefixLength } = rule;
  const { ipProtocol, destinationPorts, tos = 0, goto } = rule;
  ruleMessage.write(
    writer,
    {
      family: familyNumber(family),
      destinationLength: destination?.length ?? 0,
      sourceLength: source?.length ?? 0,
      tos,
      table: table > 255 ? RT_TABLE_UNSPEC : table,
      action,
      flags: inverted === true ? FIB_RULE_INVERT : 0,
    },
    {
      destination: destination?.ip,
      source: source?.ip,
      iifName,
      oifName,
      goto,
      priority,
      fwmark,
      fwmask,
      table: table > 255 ? table : undefined,
      suppressPrefixLength,
      protocol,
      ipProtocol,
      destinationPorts,
      unknown,
    },
  );
}

/** undefined for a rule of another family. @throws CodecError */
export function decodeRule(payload: Uint8Array): Rule | undefined {
  const { header, attributes: found } = ruleMessage.decode(payload);
  const family = familyOf(header.family);
  if (family === undefined) return undefined;
  return defined({
    family,
    priority: found.priority,
    table: found.table ?? header.table,
    source: prefixOf(found.source, header.sourceLength),
    destination: prefixOf(found.destination, header.destinationLength),
    fwmark: found.fwmark,
    fwmask: found.fwmask,
    iifName: found.iifName,
    oifName: found.oifName,
    tos: header.tos === 0 ? undefined : header.tos,
    goto: found.goto,
    inverted: (header.flags & FIB_RULE_INVERT) === 0 ? undefined : true,
    // The kernel says -1 for none.
    suppressPrefixLength: found.suppressPrefixLength === 0xffff_ffff ? undefined : found.suppressPrefixLength,
    action: header.action,
    protocol: found.protocol,
    ipProtocol: found.ipProtocol,
    destinationPorts: found.destinationPorts,
    unknown: found.unknown,
  });
}

/** The request for a list of rules. */
export function encodeRuleQuery(family: Family): Uint8Array {
  return ruleMessage.encode({ ...ANY_RULE, family: familyNumber(family) }, {});
}
