/** Where things are unless a person says otherwise. What must agree between commands is said here once. */

/** What a host keeps over a reboot: its identity, and its way to the store. */
export const STATE_DIRECTORY = '/var/lib/tulle';

/** The database of a store on this host, and its certificates. */
export const STORE_DIRECTORY = '/var/lib/tulle/store';

/** Root of the keys of a network; flannel's `--etcd-prefix`. */
export const NETWORK_PREFIX = '/coreos.com/network';
