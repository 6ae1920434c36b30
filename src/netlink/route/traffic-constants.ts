/** The numbers of traffic control in the kernel's spelling, by header of include/uapi/linux. */

/** rtnetlink.h and gen_stats.h. */
export const TCA_KIND = 1;
export const TCA_OPTIONS = 2;
export const TCA_STATS2 = 7;
export const TCA_CHAIN = 11;
export const TCA_STATS_BASIC = 1;
export const TCA_STATS_QUEUE = 3;

/** rtnetlink.h: the index in messages of filters that several links share. */
export const TCM_IFINDEX_MAGIC_BLOCK = 0xffffffff;

/** pkt_sched.h: parents of queues, and of the filters of `clsact`. */
export const TC_H_ROOT = 0xffffffff;
export const TC_H_CLSACT = 0xfffffff1;
export const TC_H_CLSACT_INGRESS = 0xfffffff2;
export const TC_H_CLSACT_EGRESS = 0xfffffff3;
/** The handle of every clsact: there is one at most on a link. */
export const CLSACT_HANDLE = 0xffff0000;

/** if_ether.h: packets of any protocol. */
export const ETH_P_ALL = 0x0003;

/** pkt_cls.h: filters that run a BPF program. */
export const TCA_BPF_FD = 6;
export const TCA_BPF_NAME = 7;
export const TCA_BPF_FLAGS = 8;
export const TCA_BPF_TAG = 10;
export const TCA_BPF_ID = 11;
/** What the program returns is what becomes of the packet; TC_ACT_UNSPEC (-1): the next filter is asked. */
export const TCA_BPF_FLAG_ACT_DIRECT = 1;
