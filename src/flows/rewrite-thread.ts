/** The thread that writes one shard, and ends. */
import { answerAsThread } from '../storage/run-in-thread.ts';
import { writeShard } from './write-shard.ts';

// What is fresh takes room until it is flushed; a compaction only makes better what is well.
await answerAsThread(writeShard, ({ shard }) => shard.level > 0);
