/** The thread that writes one shard, and ends. */
import { answerAsThread } from '../../storage/threads/run-in-thread.ts';
import type { RewriteTask } from './plan-rewrite.ts';
import { writeShard } from './write-shard.ts';

await answerAsThread(writeShard, ({ priority }: RewriteTask) => priority);
