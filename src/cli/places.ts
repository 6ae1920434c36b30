/** Where things are unless a person says otherwise. What must agree between commands is said here once. */

/** What a host keeps over a reboot: its identity, and its way to the store. */
export const STATE_DIRECTORY = '/var/lib/tulle';

/** The database of a store on this host, and its certificates. */
export const STORE_DIRECTORY = '/var/lib/tulle/store';

/** What tells Docker and CNI the subnet of this host; where flannel writes it. */
export const SUBNET_FILE = '/run/flannel/subnet.env';

/** A store, or etcd, on this host. */
export const LOCAL_STORE = 'http://127.0.0.1:2379';

/** Root of the keys of a network; flannel's `--etcd-prefix`. */
export const NETWORK_PREFIX = '/coreos.com/network';

/** UDP port of a VXLAN device that was given none: `vxlan.udp_port`, before IANA's 4789 (drivers/net/vxlan). */
export const KERNEL_VXLAN_PORT = 8472;
