import { storeStarts } from './store-starts.ts';

storeStarts('tulle');
