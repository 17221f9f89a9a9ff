// One stream of a bulk upsert.
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { waitingForReady } from './connection.js';
import { UpsertStreamBatch, UpsertStreamRequest, UpsertStreamResponse, type UpsertStreamResult } from './generated/vecgate/v1/ingest.js';
import type { Record as Stored } from './generated/vecgate/v1/record.js';
import type { VectorSearchServiceClient } from './generated/vecgate/v1/service.js';

/** Keeps what is sent and has no result within the window that the server gives, so that memory stays bounded. */
export class UpsertStream {
  private readonly call: ClientDuplexStream<UpsertStreamRequest, UpsertStreamResponse>;
  private window = { records: 0, bytes: 0n };
  private ending = false;
  // Sequences, from 1 on every stream.
  private sent = 0;
  private answered = 0;
  // Sent and without a result.
  private records = 0;
  private bytes = 0;

  constructor(client: VectorSearchServiceClient, collection: string, namespace: string) {
    this.call = client.upsertStream(waitingForReady());
    this.write({ message: { $case: 'open', value: { collection, namespace } } });
  }

  /** The server's messages; ends with the stream, and throws what ended it. */
  async *messages(patienceMs: number): AsyncGenerator<UpsertStreamResponse['message']> {
    let silent = false;
    const silence = setTimeout(() => {
      silent = true;
      this.call.cancel();
    }, patienceMs);
    try {
      for await (const { message } of this.call as AsyncIterable<UpsertStreamResponse>) {
        silence.refresh();
        if (message?.$case === 'window') {
          this.window = message.value;
        } else if (message?.$case === 'shutdown') {
          this.ending = true; // It reads no more, and answers what it has read.
        }
        yield message;
      }
    } catch (error) {
      throw silent ? new Error(`the server said nothing for ${patienceMs / 1000} s`) : error;
    } finally {
      this.ending = true;
      clearTimeout(silence);
    }
  }

  /** Sends of the batches without a result what was not sent yet and fits; closes when there are none left. */
  sendWhatFits(waiting: readonly Stored[][]): void {
    for (const batch of waiting.slice(this.sent - this.answered)) {
      const records = this.records + batch.length;
      const bytes = this.bytes + sizeOf(this.sent + 1, batch);
      const fits = records <= this.window.records && bytes <= this.window.bytes;
      // One batch may always be under way.
      if (this.ending || (this.records > 0 && !fits)) return;
      this.sent += 1;
      this.write({ message: { $case: 'batch', value: { sequence: BigInt(this.sent), records: batch } } });
      this.records = records;
      this.bytes = bytes;
    }
    if (waiting.length === 0 && !this.ending) {
      this.ending = true;
      this.write({ message: { $case: 'close', value: {} } });
      this.call.end();
    }
  }

  /** Whether a result is that of this batch, whose turn it is. */
  answers({ sequence, error, outcomes }: UpsertStreamResult, batch: readonly Stored[]): boolean {
    return sequence === BigInt(this.answered + 1) && (error !== undefined || outcomes.length === batch.length);
  }

  /** Notes that the result of a batch came, so that there is room for more. */
  finished(batch: readonly Stored[]): void {
    this.answered += 1;
    this.records -= batch.length;
    this.bytes -= sizeOf(this.answered, batch);
  }

  /** Ends the stream if it has not ended. */
  close(): void {
    this.call.on('error', () => {}); // What ended it was told already.
    this.call.cancel();
  }

  private write(request: Parameters<typeof UpsertStreamRequest.fromPartial>[0]): void {
    this.call.write(UpsertStreamRequest.fromPartial(request));
  }
}

function sizeOf(sequence: number, records: readonly Stored[]): number {
  return UpsertStreamBatch.encode({ sequence: BigInt(sequence), records: [...records] }).finish().length;
}
