/** What others have at a link of this host: their queue, their programs and their filters. */
export interface LinkLook {
  /** Kind of the queue that the link sends through: `tbf`; absent where there is none, or it is not known. */
  readonly queue?: string;
  /** In words, for each: `a filter (u32, pref 49152)`, `the program cil_from_netdev (id 7)`. */
  readonly ingress: readonly string[];
  readonly egress: readonly string[];
}
