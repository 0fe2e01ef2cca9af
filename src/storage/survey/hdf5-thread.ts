/** The reading side of HDF5, in a thread of its own: foreign files to import, shards to look into. Never used to answer a read. */
import { parentPort } from 'node:worker_threads';
import h5wasm, { type File } from 'h5wasm/node';
import { isVarveError, toErrorRecord } from '../../core/errors.ts';
import { listObjects, readHdf5Block, readValues, type ForeignModule } from './foreign-file.ts';
import type { Hdf5Request } from './hdf5-reader.ts';
import { findPlugins, type PluginHost } from '../hdf5/hdf5-plugins.ts';
import { findChunks, findSummaries, reasonOf, surveyShard, type ReadObserver } from './shard-survey.ts';

/** Emscripten's file access, which every read of the library goes through. */
interface ReadingFileSystem {
  read(stream: unknown, buffer: Int8Array, offset: number, length: number, position?: number): number;
}

const module = (await h5wasm.ready) as unknown as PluginHost &
  ForeignModule & {
    FS: ReadingFileSystem;
    activate_throwing_error_handler(): void;
  };
module.activate_throwing_error_handler();
findPlugins(module);

let observer: ReadObserver | null = null;
const { read } = module.FS;
module.FS.read = (stream, buffer, offset, length, position) => {
  const got = read(stream, buffer, offset, length, position);
  if (observer && position !== undefined)
    observer(position, new Uint8Array(buffer.buffer, buffer.byteOffset + offset, got));
  return got;
};

/** Open files, by path. */
const files = new Map<string, File>();

function open(path: string): File {
  let file = files.get(path);
  if (!file) files.set(path, (file = new h5wasm.File(path, 'r')));
  return file;
}

function close(path: string): void {
  files.get(path)?.close();
  files.delete(path);
}

function answer(request: Hdf5Request): unknown {
  switch (request.op) {
    case 'list':
      return plainly(() => listObjects(module, open(request.path)));
    case 'read-block':
      return plainly(() => readHdf5Block(module, open(request.path), request.dataset, request.from, request.count));
    case 'read-values':
      return plainly(() => readValues(module, open(request.path), request.dataset, request.from, request.count));
    case 'close':
      close(request.path);
      return null;
    case 'survey':
      return shortly(request.path, surveyShard);
    case 'find-chunks':
      return shortly(request.path, (file) =>
        findChunks(file, (next) => (observer = next), request.seriesId, request.rows),
      );
    case 'find-summaries':
      return shortly(request.path, (file) => findSummaries(file, (next) => (observer = next), request.seriesId));
  }
}

/** Opens a file for one question: a shard that is replaced meanwhile is not held open. After an error the thread is replaced. */
function shortly<T>(path: string, work: (file: File) => T): T {
  return plainly(() => {
    const result = work(open(path));
    close(path);
    return result;
  });
}

/** What the library says of an error is its whole stack; one sentence of it will do. */
function plainly<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw isVarveError(error) ? error : new Error(reasonOf(error), { cause: error });
  }
}

parentPort?.on('message', ({ id, request }: { id: number; request: Hdf5Request }) => {
  try {
    const result = answer(request);
    parentPort!.postMessage({ id, result }, result instanceof Uint8Array ? [result.buffer as ArrayBuffer] : []);
  } catch (error) {
    parentPort!.postMessage({ id, error: toErrorRecord(error) });
  }
});
