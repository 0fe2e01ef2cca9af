/** The writer thread: one HDF5 library, one commit at a time. */
import { parentPort } from 'node:worker_threads';
import { toErrorRecord, type ErrorRecord } from '../core/errors.ts';
import { commitShard } from './commit-shard.ts';
import { Hdf5Session } from './hdf5-session.ts';
import type { CommitRequest, CommitResult } from './shard-commit.ts';

export type WriterReply =
  { readonly ok: true; readonly result: CommitResult } | { readonly ok: false; readonly error: ErrorRecord };

const session = await Hdf5Session.start();

parentPort?.on('message', (request: CommitRequest) => {
  let reply: WriterReply;
  try {
    reply = { ok: true, result: commitShard(session, request) };
  } catch (error) {
    reply = { ok: false, error: toErrorRecord(error) };
  }
  parentPort!.postMessage(reply);
});
