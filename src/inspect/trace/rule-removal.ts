/** The command that takes a rule of netfilter away, and whose tables it must leave. */

/** Of Tulle, which the agent would make again. */
export const isOurTable = (table: string): boolean => /^tulle-|^flannel-ipv/.test(table);

export const nftRemoval = (family: string, table: string, chain: string, handle: number | bigint): string =>
  `nft delete rule ${family} ${table} ${chain} handle ${handle}`;

/** @param program `iptables-legacy`. @param text of the rule, without `-A CHAIN` */
export const iptablesRemoval = (program: string, table: string, chain: string, text: string): string =>
  `${program} -t ${table} -D ${chain} ${text}`;
