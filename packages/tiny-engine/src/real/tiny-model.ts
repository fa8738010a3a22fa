import { fileURLToPath } from "node:url";

import {
  type ChatHistoryItem,
  getLlama,
  JinjaTemplateChatWrapper,
  SpecialToken,
  type Llama,
  type LlamaContext,
  type LlamaEmbeddingContext,
  LlamaLogLevel,
  type LlamaModel,
  type LlamaTextValue,
  type Token,
} from "node-llama-cpp";

import { CONTEXT_LENGTH } from "./context-length.ts";
import { SequencePool } from "./sequence-pool.ts";

const MODEL_FILE = fileURLToPath(new URL("../../model/tiny.gguf", import.meta.url));

/** One message of a chat, its text only. */
export interface ChatMessage {
  readonly role: "system" | "user" | "assistant";
  readonly text: string;
}

/** The model in memory, with what is needed to talk to it. */
export class TinyModel implements AsyncDisposable {
  readonly #llama: Llama;
  readonly #model: LlamaModel;
  readonly #context: LlamaContext;
  readonly #embedding: LlamaEmbeddingContext;
  readonly #template: JinjaTemplateChatWrapper;
  readonly sequences: SequencePool;

  private constructor(llama: Llama, model: LlamaModel, context: LlamaContext, embedding: LlamaEmbeddingContext) {
    this.#llama = llama;
    this.#model = model;
    this.#context = context;
    this.#embedding = embedding;
    const template = model.fileInfo.metadata.tokenizer.chat_template;
    if (template === undefined) throw new Error("The model has no chat template.");
    this.#template = new JinjaTemplateChatWrapper({ template, reasoning: null });
    this.sequences = new SequencePool(Array.from({ length: context.totalSequences }, () => context.getSequence()));
  }

  /** @throws Error in one clear sentence when llama.cpp does not run on this machine. */
  static async open(parallel: number): Promise<TinyModel> {
    const llama = await openLlama();
    try {
      const model = await llama.loadModel({ modelPath: MODEL_FILE });
      // One thread: for so small a model a second one costs more in waiting than it brings.
      const context = await model.createContext({ sequences: parallel, contextSize: CONTEXT_LENGTH, threads: 1 });
      const embedding = await model.createEmbeddingContext({ contextSize: CONTEXT_LENGTH, threads: 1 });
      return new TinyModel(llama, model, context, embedding);
    } catch (cause) {
      await llama.dispose();
      throw cause;
    }
  }

  get release(): string {
    return String(this.#llama.llamaCppRelease.release);
  }

  get chatTemplate(): string {
    return this.#template.template;
  }

  get bytes(): number {
    return this.#model.size;
  }

  get vocabularySize(): number {
    return this.#model.fileInfo.metadata.tokenizer.ggml.tokens.length;
  }

  get embeddingLength(): number {
    return this.#model.embeddingVectorSize;
  }

  /** Tokens of a prompt for a plain completion. */
  textTokens(text: string): Token[] {
    return [...this.#bos(), ...this.#model.tokenize(text)];
  }

  /** Tokens of a chat under the model's own template. A last message of the assistant is continued. */
  chatTokens(messages: readonly ChatMessage[]): Token[] {
    const history = messages.flatMap(historyItem);
    if (history.at(-1)?.type !== "model") history.push({ type: "model", response: [] });
    const { contextText } = this.#template.generateContextState({ chatHistory: history });
    return this.#tokensOf(contextText.values);
  }

  /** Text of `tokens`, which follow `before`. */
  textOf(tokens: readonly Token[], before: readonly Token[]): string {
    return this.#model.detokenize(tokens, false, before);
  }

  isEnd(token: Token): boolean {
    return this.#model.isEogToken(token);
  }

  /** A vector of length 1. */
  async embed(tokens: Token[]): Promise<Float32Array> {
    const { vector } = await this.#embedding.getEmbeddingFor(tokens);
    const length = Math.hypot(...vector) || 1;
    return Float32Array.from(vector, (value) => value / length);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#embedding.dispose();
    await this.#context.dispose();
    await this.#llama.dispose();
  }

  /** Text between two special tokens is tokenized as one: the model was trained on it so, not piece by piece. */
  #tokensOf(values: readonly LlamaTextValue[]): Token[] {
    const tokens: Token[] = [];
    let text = "";
    for (const value of values) {
      if (value instanceof SpecialToken) {
        tokens.push(...this.#textOrNone(text), ...value.tokenize(this.#model.tokenizer));
        text = "";
      } else text += typeof value === "string" ? value : value.value;
    }
    // The answer begins with the space, as a token of its own making.
    return [...tokens, ...this.#textOrNone(text.trimEnd())];
  }

  #textOrNone(text: string): Token[] {
    return text === "" ? [] : this.#model.tokenize(text);
  }

  #bos(): Token[] {
    const { bos } = this.#model.tokens;
    return bos === null ? [] : [bos];
  }
}

async function openLlama(): Promise<Llama> {
  try {
    return await getLlama({
      gpu: false,
      build: "never",
      skipDownload: true,
      progressLogs: false,
      logLevel: LlamaLogLevel.disabled,
    });
  } catch (cause) {
    const platform = `${process.platform}-${process.arch}`;
    throw new Error(`The tiny engine has no llama.cpp for this platform (${platform}).`, { cause });
  }
}

/** The model's template has no place for system messages, so they are left out here, as it would do. */
function historyItem(message: ChatMessage): ChatHistoryItem[] {
  switch (message.role) {
    case "system":
      return [];
    case "user":
      return [{ type: "user", text: message.text }];
    case "assistant":
      return [{ type: "model", response: [message.text] }];
  }
}
