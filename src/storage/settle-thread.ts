/** The thread that settles one journal, and ends. */
import { parentPort, workerData } from 'node:worker_threads';
import { recoverShard } from './journal.ts';

parentPort!.postMessage(recoverShard(workerData as string));
