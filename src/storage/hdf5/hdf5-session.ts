/**
 * HDF5 inside one thread: makes a file so that every byte the library reads or writes goes through a {@link NewFile}.
 * h5wasm is synchronous and has one global state, so this is used in worker threads only, one file at a time.
 */
import h5wasm, { type File as Hdf5File } from 'h5wasm/node';
import { findPlugins, type PluginHost } from './hdf5-plugins.ts';
import type { NewFile } from './new-file.ts';

export type { Hdf5File };

/** What h5wasm's Node build routes file access through (Emscripten's FS over Node's fs). */
interface FileSystem {
  read(stream: Stream, buffer: Int8Array, offset: number, length: number, position?: number): number;
  write(stream: Stream, buffer: Int8Array, offset: number, length: number, position?: number, canOwn?: boolean): number;
  ftruncate(fd: number, length: number): void;
  getStream(fd: number): Stream | null;
  ErrnoError: new (errno: number) => Error;
}

interface Stream {
  readonly path: string;
}

interface Library extends PluginHost {
  readonly FS: FileSystem;
  activate_throwing_error_handler(): void;
}

/** Called with every block HDF5 writes. The bytes are only valid during the call. */
export type WriteObserver = (offset: number, bytes: Uint8Array) => void;

/** A file that is open in HDF5. */
export interface OpenHdf5 {
  readonly file: Hdf5File;
  /** Sets who is told of writes. */
  observe(observer: WriteObserver | null): void;
  /**
   * Does something with the file.
   * @throws whatever `work` or the file system threw; the session must not be used again then
   */
  run<T>(work: () => T): T;
  /** Closes the file; HDF5 has then written everything. */
  close(): void;
}

/** WASI errno 29: an I/O error, which HDF5 reports as a failed write; the true cause is kept aside. */
const EIO = 29;
/** Versions of the format: every HDF5 since 1.8 can read it, and the superblock has no mark "open for writing". */
const LIBVER = { libver: ['v108', 'v108'] } as const;

export class Hdf5Session {
  #target: NewFile | null = null;
  #observer: WriteObserver | null = null;
  #failure: unknown = null;
  #pluginsFound = false;
  readonly #plugins: PluginHost;

  private constructor(plugins: PluginHost) {
    this.#plugins = plugins;
  }

  static async start(): Promise<Hdf5Session> {
    const module = (await h5wasm.ready) as unknown as Library;
    module.activate_throwing_error_handler();
    const session = new Hdf5Session(module);
    session.#hook(module.FS);
    return session;
  }

  /** Begins a file of HDF5. Until it is closed nothing else may be opened. */
  open(target: NewFile): OpenHdf5 {
    if (this.#target) throw new Error(`${this.#target.path} is still open`);
    this.#target = target;
    this.#failure = null;
    const leave = (): void => {
      this.#observer = null;
      this.#target = null;
    };
    const run = <T>(work: () => T): T => {
      try {
        const result = work();
        if (this.#failure) throw this.#failure;
        return result;
      } catch (error) {
        const cause = this.#failure ?? error;
        leave();
        throw cause;
      }
    };
    const file = run(() => new h5wasm.File(target.path, 'w', { libver: [...LIBVER.libver] }));
    return {
      file,
      observe: (observer) => (this.#observer = observer),
      run,
      close: () => {
        this.#observer = null;
        run(() => file.close());
        leave();
      },
    };
  }

  /** Lets HDF5 find the filters that it does not bring itself. Needed once, before the first dataset that uses one. */
  findPlugins(): void {
    if (this.#pluginsFound) return;
    findPlugins(this.#plugins);
    this.#pluginsFound = true;
  }

  #hook(fs: FileSystem): void {
    const { read, write, ftruncate } = fs;
    const ours = (stream: Stream | null): NewFile | null =>
      this.#target && stream?.path === this.#target.path ? this.#target : null;
    const guarded = <T>(action: () => T): T => {
      try {
        return action();
      } catch (error) {
        this.#failure ??= error;
        throw new fs.ErrnoError(EIO); // any other exception would unwind through the library and leave it broken
      }
    };
    fs.read = (stream, buffer, offset, length, position) => {
      const target = ours(stream);
      if (!target || position === undefined) return read(stream, buffer, offset, length, position);
      return guarded(() => target.read(new Uint8Array(buffer.buffer, buffer.byteOffset + offset, length), position));
    };
    fs.write = (stream, buffer, offset, length, position, canOwn) => {
      const target = ours(stream);
      if (!target || position === undefined) return write(stream, buffer, offset, length, position, canOwn);
      return guarded(() => {
        const bytes = new Uint8Array(buffer.buffer, buffer.byteOffset + offset, length);
        target.write(bytes, position);
        this.#observer?.(position, bytes);
        return length;
      });
    };
    fs.ftruncate = (fd, length) => {
      const target = ours(fs.getStream(fd));
      if (!target) return ftruncate(fd, length);
      return guarded(() => target.setLength(length));
    };
  }
}
