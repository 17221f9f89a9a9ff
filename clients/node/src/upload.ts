// A bulk upsert over as many streams as it takes.
import { setTimeout as sleep } from 'node:timers/promises';
import { READ_DEADLINE_MS, send } from './connection.js';
import type { UpsertStreamResult } from './generated/vecgate/v1/ingest.js';
import { CountRequest } from './generated/vecgate/v1/read.js';
import type { Record as Stored } from './generated/vecgate/v1/record.js';
import type { VectorSearchServiceClient } from './generated/vecgate/v1/service.js';
import { batchesOfNotes } from './notes.js';
import { Refusal } from './refusal.js';
import { COLLECTION } from './steps.js';
import { UpsertStream } from './upsert_stream.js';

/** How long an upload goes on without any answer before it gives up: a server that restarts is waited for. */
const PATIENCE_MS = 60_000;
const RECONNECT_PAUSE_MS = 200;
const NAMESPACE = 'bulk';

interface Failure {
  id: string;
  reason: string;
  fields: string[];
}

/** Writes in the mode UPSERT, so a batch whose result was lost may be sent again; with INSERT it may not. */
export class Upload {
  /** Batches without a result, in order: the fate of all before them is known. */
  private readonly waiting: Stored[][];
  private readonly failures: Failure[] = [];
  private stored = 0;
  private reconnects = 0;
  /** Whether the server of this stream said that it goes away. */
  private leaving = false;
  private progressed = Date.now();

  constructor(private readonly client: VectorSearchServiceClient, private readonly records: number) {
    this.waiting = batchesOfNotes(records);
  }

  /** Stores the records and counts what is there afterwards. */
  async run() {
    for (;;) {
      const refusal = await this.overOneStream();
      if (this.waiting.length === 0) break;
      if (refusal && !this.leaving && !refusal.temporary) throw refusal;
      if (Date.now() - this.progressed > PATIENCE_MS) {
        throw refusal ?? new Error(`the bulk upsert made no progress within ${PATIENCE_MS / 1000} s`);
      }
      // The server went away, or said that it would: what has no result goes over a new stream, to it or to another.
      this.reconnects += 1;
      await sleep(RECONNECT_PAUSE_MS + (refusal?.pauseMs() ?? 0));
    }
    const request = CountRequest.fromPartial({ collection: COLLECTION, namespace: NAMESPACE });
    const { count } = await send(this.client, this.client.count, request, READ_DEADLINE_MS);
    const { records, stored, failures, reconnects } = this;
    return { records, stored, failed: failures.length, failures, counted: Number(count), reconnects };
  }

  /** Uploads until the stream ends, and returns what ended it; undefined if nothing is amiss. */
  private async overOneStream(): Promise<Refusal | undefined> {
    this.leaving = false;
    const stream = new UpsertStream(this.client, COLLECTION, NAMESPACE);
    try {
      // A deadline for each answer, since nobody knows how long the whole takes.
      for await (const message of stream.messages(PATIENCE_MS)) {
        this.leaving ||= message?.$case === 'shutdown';
        if (message?.$case === 'result') this.finish(message.value, stream);
        // A receipt tells of arrival alone, which is no promise.
        stream.sendWhatFits(this.waiting);
      }
      return undefined;
    } catch (error) {
      return Refusal.of(error);
    } finally {
      stream.close();
    }
  }

  /** Takes the result of the first waiting batch. */
  private finish(result: UpsertStreamResult, stream: UpsertStream): void {
    const batch = this.waiting[0];
    if (!batch || !stream.answers(result, batch)) {
      throw new Error("the server's result is not that of the batch whose turn it is");
    }
    batch.forEach(({ id }, i) => {
      const error = result.error ?? result.outcomes[i]?.error; // of the batch as a whole, or of the record
      if (error) {
        this.failures.push({ id, reason: error.reason, fields: error.fieldViolations.map(({ field }) => field) });
      } else {
        this.stored += 1;
      }
    });
    stream.finished(batch);
    this.waiting.shift();
    this.progressed = Date.now();
    console.error(`${this.stored + this.failures.length} of ${this.records} records`);
  }
}
