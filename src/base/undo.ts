/**
 * The undo is registered before the action and dropped only at the end.
 *
 *     await using undo = new Undo();
 *     undo.push('delete the link', () => links.delete(name));
 *     await links.add(name);
 *     ...
 *     undo.commit();
 *
 * Without `commit()` the steps run in reverse order, every one of them, whatever fails.
 */
export class Undo implements AsyncDisposable {
  readonly #steps: { readonly what: string; readonly run: () => unknown }[] = [];

  push(what: string, run: () => unknown): void {
    this.#steps.push({ what, run });
  }

  commit(): void {
    this.#steps.length = 0;
  }

  /** Runs the steps now. @throws AggregateError with every step that failed. */
  async [Symbol.asyncDispose](): Promise<void> {
    const failures: Error[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.run();
      } catch (cause) {
        failures.push(new Error(step.what, { cause }));
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, 'could not undo everything');
  }
}
