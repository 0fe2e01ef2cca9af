/** The folder that holds every byte, and the names in it. Nothing outside this file joins paths. */
import { accessSync, constants } from 'node:fs';
import { join, resolve, sep } from 'node:path';
import { makeFolder } from './make-folder.ts';

/** Where a shard lies below the root: 256 folders keep directories short. The commit is the one as of which the file tells the truth. */
export function shardPath(shardId: string, commit: bigint): string {
  return `shards/${shardId.slice(-2)}/${shardId}-${commit}.h5`;
}

/** Where a spool file lies below the root. */
export function spoolPath(spoolId: string): string {
  return `spool/${spoolId}`;
}

export class DataRoot {
  readonly root: string;

  constructor(root: string) {
    this.root = resolve(root);
  }

  /** Makes the folders. Call once at start. @throws what the system says of a path that cannot be one of them */
  prepare(): void {
    for (const folder of [this.root, this.shardFolder, this.spoolFolder, this.exportFolder, this.uploadFolder]) {
      makeFolder(folder);
      accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    }
  }

  /**
   * The absolute path of a file of ours.
   * @throws if `relative` would leave the root (a tampered catalog row)
   */
  resolve(relative: string): string {
    const path = resolve(this.root, relative);
    if (!path.startsWith(this.root + sep)) throw new Error(`path leaves the data root: ${relative}`);
    return path;
  }

  spooled(spoolId: string): string {
    return this.resolve(spoolPath(spoolId));
  }

  /** A file to be sent, while it is being written. */
  exported(id: string): string {
    return this.resolve(`exports/${id}.h5`);
  }

  get exportFolder(): string {
    return join(this.root, 'exports');
  }

  /** Files that are to be imported. */
  get uploadFolder(): string {
    return join(this.root, 'uploads');
  }

  /** A file that was asked for, kept for a day. */
  kept(id: string): string {
    return this.resolve(`exports/kept/${id}`);
  }

  get spoolFolder(): string {
    return join(this.root, 'spool');
  }

  get shardFolder(): string {
    return join(this.root, 'shards');
  }
}
