/** The thread that writes one sealed shard, and ends. */
import { answerAsThread } from '../storage/run-in-thread.ts';
import { writeSealedShard } from './seal-series.ts';

await answerAsThread(writeSealedShard);
