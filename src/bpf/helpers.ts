/** Functions of the kernel that programs may call: enum bpf_func_id, include/uapi/linux/bpf.h, without `BPF_FUNC_`. */
export const HELPERS = {
  map_lookup_elem: 1,
  map_update_elem: 2,
  map_delete_elem: 3,
  ktime_get_ns: 5,
  get_prandom_u32: 7,
  redirect: 23,
  get_hash_recalc: 34,
  skb_pull_data: 39,
  skb_adjust_room: 50,
  probe_read_kernel: 113,
  ringbuf_output: 130,
  ringbuf_reserve: 131,
  ringbuf_submit: 132,
  ringbuf_discard: 133,
  csum_level: 135,
  redirect_neigh: 152,
  redirect_peer: 155,
  ktime_get_coarse_ns: 160,
} as const;

export type Helper = keyof typeof HELPERS;
