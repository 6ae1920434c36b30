/** The versions of etcd that the store reports to its clients. */

/** The etcd whose API this is; clients decide by it what they may ask for. */
export const ETCD_VERSION = '3.4.23';

/** etcd's version of the cluster: the oldest API that every member has. */
export const CLUSTER_VERSION = '3.4.0';
