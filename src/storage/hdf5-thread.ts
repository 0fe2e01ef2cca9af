/** The reading side of HDF5, in a thread of its own: foreign files to import, shards to look into. Never used to answer a read. */
import { parentPort } from 'node:worker_threads';
import h5wasm, { Dataset, Group, type File } from 'h5wasm/node';
import { toErrorRecord } from '../core/errors.ts';
import type { Hdf5Object, Hdf5Request } from './hdf5-reader.ts';

const module = await h5wasm.ready;
(module as unknown as { activate_throwing_error_handler(): void }).activate_throwing_error_handler();

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

function answer(request: Hdf5Request): Hdf5Object[] | ReturnType<Dataset['slice']> | Map<string, number> {
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
    case 'extents':
      return extents(request.path);
  }
}

function extents(path: string): Map<string, number> {
  try {
    const series = open(path).get('series') as Group;
    return new Map(series.keys().map((id) => [id, (series.get(`${id}/values`) as Dataset).shape![0]]));
  } finally {
    close(path);
  }
}

parentPort?.on('message', ({ id, request }: { id: number; request: Hdf5Request }) => {
  try {
    parentPort!.postMessage({ id, result: answer(request) });
  } catch (error) {
    parentPort!.postMessage({ id, error: toErrorRecord(error) });
  }
});
