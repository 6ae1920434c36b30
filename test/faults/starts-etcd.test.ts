import { storeStarts } from './store-starts.ts';

storeStarts('etcd');
