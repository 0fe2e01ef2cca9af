/**
 * What runs in a codec thread: parsing of large bodies, ordering, printing and hashing of large answers. What has a port is a stream; the others are
 * steps, which must not wait for anything but the disk: see CodecPool.
 */
import type { MessagePort } from 'node:worker_threads';
import { outcome, type Outcome } from '../storage/outcome.ts';
import { receiveStream, sendStream } from '../storage/port-stream.ts';
import { zonedBorders, type ZonedBorderTask } from './aggregate-calendar.ts';
import { hashRows } from './hash-rows.ts';
import { orderStoredRows, type OrderTask, type OrderedRows } from './order-rows.ts';
import { countWindows, type CountedWindows, type CountTask } from './order-windows.ts';
import { printBuckets, type BucketPrintTask } from './overview-print.ts';
import { printSamples, rowBlocks, type PrintTask, type RowsTask, type Section } from './print-samples.ts';
import { printTable, type TableTask } from './print-table.ts';
import { receivePayload, type PayloadTask, type ReceivedPayload } from './receive-payload.ts';

type WithPort<T> = T & { readonly port: MessagePort };

export function receive(task: WithPort<PayloadTask>): Promise<Outcome<ReceivedPayload>> {
  return outcome(receivePayload(task, receiveStream(task.port)));
}

export function order(task: OrderTask): Promise<Outcome<OrderedRows>> {
  return outcome(orderStoredRows(task));
}

export function windows(task: CountTask): Promise<Outcome<CountedWindows>> {
  return outcome(countWindows(task));
}

/** With a port for sections that are made later. */
type WithLater<T> = WithPort<T> & { readonly parts?: MessagePort };

export async function print({ port, parts, ...task }: WithLater<PrintTask>): Promise<void> {
  const later = parts && receiveStream<Section>(parts);
  await sendStream(port, printSamples(task, undefined, { later }));
}

export async function blocks({ port, parts, ...task }: WithLater<RowsTask>): Promise<void> {
  await sendStream(port, rowBlocks(task, parts && receiveStream<Section>(parts)));
}

export async function buckets(task: WithPort<BucketPrintTask>): Promise<void> {
  await sendStream(task.port, printBuckets(task));
}

export async function table(task: WithPort<TableTask> & { readonly parts: MessagePort }): Promise<void> {
  await sendStream(task.port, printTable(task, receiveStream<object>(task.parts)));
}

export async function hash(task: WithPort<{ readonly parts: MessagePort }>): Promise<void> {
  await sendStream(task.port, hashRows(receiveStream<RowsTask>(task.parts)));
}

/** Says that the thread turns to what it is given. */
export function ping(): void {}

export function calendar(task: ZonedBorderTask): Promise<Outcome<BigInt64Array>> {
  return outcome(Promise.resolve().then(() => zonedBorders(task)));
}
