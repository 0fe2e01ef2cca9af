/** The reading side of HDF5, in a thread of its own: foreign files to import, shards to look into. Never used to answer a read. */
import { parentPort } from 'node:worker_threads';
import h5wasm, { Dataset, Group, type File } from 'h5wasm/node';
import { isVarveError, toErrorRecord } from '../../core/errors.ts';
import type { Hdf5Object, Hdf5Request } from './hdf5-reader.ts';
import { findPlugins, type PluginHost } from '../hdf5/hdf5-plugins.ts';
import { findChunks, findSummaries, reasonOf, surveyShard, type ReadObserver } from './shard-survey.ts';

/** Emscripten's file access, which every read of the library goes through. */
interface ReadingFileSystem {
  read(stream: unknown, buffer: Int8Array, offset: number, length: number, position?: number): number;
}

const module = (await h5wasm.ready) as unknown as PluginHost & {
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

function* walk(group: Group, prefix: string): Generator<Hdf5Object> {
  for (const name of group.keys()) {
    const path = `${prefix}/${name}`;
    const item = group.get(name);
    if (item instanceof Dataset) {
      yield {
        path,
        kind: 'dataset',
        shape: item.shape ?? [],
        dtype: typeof item.dtype === 'string' ? item.dtype : 'other',
        attributes: attributes(item),
      };
    } else if (item instanceof Group) {
      yield { path, kind: 'group', shape: [], dtype: '', attributes: attributes(item) };
      yield* walk(item, path);
    }
  }
}

function attributes(item: Group | Dataset): Record<string, unknown> {
  const all: Record<string, unknown> = {};
  for (const name of Object.keys(item.attrs)) {
    try {
      all[name] = item.attrs[name].value;
    } catch {
      all[name] = null; // a type h5wasm cannot read, such as an opaque blob
    }
  }
  return all;
}

function answer(request: Hdf5Request): unknown {
  switch (request.op) {
    case 'list':
      return [...walk(open(request.path), '')];
    case 'read': {
      const dataset = open(request.path).get(request.dataset) as Dataset;
      const rest = (dataset.shape ?? []).slice(1).map((size): [number, number] => [0, size]);
      return dataset.slice([[request.from, request.to], ...rest]);
    }
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
  try {
    const result = work(open(path));
    close(path);
    return result;
  } catch (error) {
    throw isVarveError(error) ? error : new Error(reasonOf(error), { cause: error });
  }
}

parentPort?.on('message', ({ id, request }: { id: number; request: Hdf5Request }) => {
  try {
    parentPort!.postMessage({ id, result: answer(request) });
  } catch (error) {
    parentPort!.postMessage({ id, error: toErrorRecord(error) });
  }
});
