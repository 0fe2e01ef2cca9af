/**
 * What runs in a codec thread: parsing of large bodies, ordering, printing and hashing of large answers. What has a port is a stream; the others are
 * steps, which must not wait for anything but the disk: see CodecPool.
 */
import type { MessagePort } from 'node:worker_threads';
import type { LineRules } from '../../formats/line-protocol/line-parser.ts';
import { outcome, type Outcome } from '../../storage/threads/outcome.ts';
import { receiveStream, sendStream } from '../../storage/threads/port-stream.ts';
import { zonedBorders, type ZonedBorderTask } from '../overview/zoned-borders.ts';
import { hashRows } from '../close/hash-rows.ts';
import { receiveLines, type ReceivedLines } from '../ingest/receive-lines.ts';
import { orderStoredRows, type OrderTask, type OrderedRows } from '../read/order-rows.ts';
import { countWindows, type CountedWindows, type CountTask } from '../read/order-windows.ts';
import { printBuckets, type BucketPrintTask } from '../overview/print-overview.ts';
import { printSamples, rowBlocks, type PrintTask, type RowsTask, type Section } from '../read/print-samples.ts';
import { printTable, type TableTask } from '../table/print-table.ts';
import { receivePayload, type PayloadTask, type ReceivedPayload } from '../append/receive-payload.ts';

type WithPort<T> = T & { readonly port: MessagePort };

export function receive(task: WithPort<PayloadTask>): Promise<Outcome<ReceivedPayload>> {
  return outcome(receivePayload(task, receiveStream(task.port)));
}

export function lineProtocol(task: WithPort<LineRules>): Promise<Outcome<ReceivedLines>> {
  return outcome(receiveLines(task, receiveStream(task.port)));
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
