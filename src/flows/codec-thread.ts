/** What runs in a codec thread: parsing of large bodies, printing of large answers. */
import type { MessagePort } from 'node:worker_threads';
import { toErrorRecord } from '../core/errors.ts';
import { receiveStream, sendStream } from '../storage/port-stream.ts';
import { printSamples, type PrintTask } from './print-samples.ts';
import { receivePayload, type PayloadTask, type ReceivedPayload } from './receive-payload.ts';

type WithPort<T> = T & { readonly port: MessagePort };

export async function receive(task: WithPort<PayloadTask>): Promise<ReceivedPayload> {
  try {
    return await receivePayload(task, receiveStream(task.port));
  } catch (error) {
    // Errors lose their fields on the way between threads; a plain record keeps them.
    throw Object.assign(new Error('refused'), { record: toErrorRecord(error) });
  }
}

export async function print(task: WithPort<PrintTask>): Promise<void> {
  await sendStream(task.port, printSamples(task));
}
