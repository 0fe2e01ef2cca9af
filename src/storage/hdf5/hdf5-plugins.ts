/** Where the filters are that h5wasm does not bring itself. */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** The part of h5wasm's module that takes them. */
export interface PluginHost {
  insert_plugin_search_path(path: string, index: number): void;
}

/** Lets HDF5 find bitshuffle. Needed once in each thread, before the first dataset that uses it. */
export function findPlugins(host: PluginHost): void {
  const package_ = createRequire(import.meta.url).resolve('h5wasm-plugins');
  host.insert_plugin_search_path(join(dirname(package_), 'plugins'), 0);
}
