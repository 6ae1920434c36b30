/** How bpf_skb_adjust_room is asked for the headers of a tunnel: enums of BPF_ADJ_ROOM_* and BPF_F_ADJ_ROOM_*, linux/bpf.h. */
import { ETHERNET_SIZE } from './layout.ts';

/** BPF_ADJ_ROOM_MAC. */
export const BEHIND_ETHERNET = 1;

const FIXED_GSO = 1n << 0n;
const ENCAP_L3_IPV4 = 1n << 1n;
const ENCAP_L4_UDP = 1n << 4n;
const NO_CSUM_RESET = 1n << 5n;
const ENCAP_L2_ETH = 1n << 6n;
/** BPF_F_ADJ_ROOM_ENCAP_L2: of the inner Ethernet header. */
const INNER_LENGTH = BigInt(ETHERNET_SIZE) << 56n;

export const ENCAPSULATE = FIXED_GSO | ENCAP_L3_IPV4 | ENCAP_L4_UDP | ENCAP_L2_ETH | INNER_LENGTH;
export const DECAPSULATE = FIXED_GSO | NO_CSUM_RESET;
