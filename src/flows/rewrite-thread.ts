/** The thread that writes one shard, and ends. */
import { answerAsThread } from '../storage/run-in-thread.ts';
import { writeShard } from './write-shard.ts';

await answerAsThread(writeShard);
