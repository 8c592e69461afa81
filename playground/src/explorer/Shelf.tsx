import { useGraphiQL } from '@graphiql/react';
import {
  Autocomplete,
  Button,
  Collection,
  Header,
  Input,
  ListBox,
  ListBoxItem,
  ListBoxSection,
  SearchField,
  type Key,
} from 'react-aria-components';
import { useOpen } from './open';
import { find, firstSteps, named, slices, title, type Operation } from './operations';

interface Entry {
  id: string;
  operation: Operation;
  /** Beside the title. */
  note: string;
  /** Below it. */
  text: string;
}

interface Section {
  id: string;
  name: string;
  entries: Entry[];
}

// Before all others, as Enter takes the first: the operation that is called what was typed.
const BY_NAME: Section = {
  id: 'by-name',
  name: 'By this name',
  entries: slices.flatMap(({ operations }) => operations).map((operation) => ({ ...entryOf(operation), id: `name/${operation.name}` })),
};

const SECTIONS: Section[] = [
  BY_NAME,
  {
    id: 'first-steps',
    name: 'First steps, with two windows',
    entries: firstSteps().map(({ operation, where }, index) => ({
      id: `step/${operation.name}`,
      operation,
      note: String(index + 1),
      text: where,
    })),
  },
  ...slices.map(({ slice, operations }) => ({
    id: slice,
    name: slice,
    entries: operations.map(entryOf),
  })),
];

function entryOf(operation: Operation): Entry {
  return { id: operation.name, operation, note: operation.kind, text: operation.summary };
}

const ENTRIES = new Map(SECTIONS.flatMap(({ entries }) => entries.map((entry) => [entry.id, entry])));

/** Every operation there is, to be opened in a tab. */
export function Shelf() {
  const open = useOpen();
  const shown = useShown();
  return (
    <section className="kith-shelf" aria-label="Operations">
      <h1>Operations</h1>
      <Autocomplete filter={(text, typed, { key }) => isFound(key, text, typed)}>
        <SearchField aria-label="Filter operations" className="kith-filter">
          <Input placeholder="Filter" />
          <Button aria-label="Clear">×</Button>
        </SearchField>
        <div className="kith-scroll">
          <ListBox
            aria-label="Operations"
            className="kith-operations"
            items={SECTIONS}
            onAction={(id) => {
              const entry = ENTRIES.get(String(id));
              if (entry) open(entry.operation);
            }}
            renderEmptyState={() => <p className="kith-none">Nothing has these words.</p>}
          >
            {(section) => (
              <ListBoxSection id={section.id}>
                <Header>{section.name}</Header>
                <Collection items={section.entries}>
                  {(entry) => <Row entry={entry} isShown={entry.operation === shown} />}
                </Collection>
              </ListBoxSection>
            )}
          </ListBox>
          {shown && <Next operation={shown} />}
        </div>
      </Autocomplete>
    </section>
  );
}

/** An entry is found by the words in it, and stands only at the top where its name was typed. */
function isFound(key: Key, text: string, typed: string) {
  const entry = ENTRIES.get(String(key));
  const isNamed = !!entry && [entry.operation.name, title(entry.operation)].some((name) => name.toLowerCase() === typed.trim().toLowerCase());
  return entry && BY_NAME.entries.includes(entry) ? isNamed : !isNamed && hasWords(text, typed);
}

/** Whether each word that was typed begins a word of the text. */
function hasWords(text: string, typed: string) {
  const words = wordsOf(text);
  return wordsOf(typed).every((beginning) => words.some((word) => word.startsWith(beginning)));
}

const wordsOf = (text: string) => text.toLowerCase().match(/[\p{L}\d]+/gu) ?? [];

function Row({ entry: { id, operation, note, text }, isShown }: { entry: Entry; isShown: boolean }) {
  const words = [title(operation), operation.name, operation.kind, operation.slice, text].join(' ');
  return (
    <ListBoxItem id={id} textValue={words} className="kith-operation" data-shown={isShown || undefined}>
      <span className="kith-title">{title(operation)}</span>
      <span className="kith-note" data-kind={note}>
        {note}
      </span>
      <span className="kith-text">{text}</span>
    </ListBoxItem>
  );
}

/** What the open operation needs, and where to go from it. */
function Next({ operation }: { operation: Operation }) {
  const open = useOpen();
  return (
    <aside className="kith-next" aria-label={`About ${title(operation)}`}>
      <p>
        <strong>Needs.</strong> {operation.needs}
      </p>
      <p>
        <strong>Next.</strong>{' '}
        {operation.next.map((name) => (
          <Button key={name} onPress={() => open(named(name))}>
            {title(named(name))}
          </Button>
        ))}
      </p>
    </aside>
  );
}

function useShown() {
  return useGraphiQL(({ tabs, activeTabIndex }) => find(tabs[activeTabIndex]?.operationName));
}

function ShelfIcon() {
  return (
    <svg viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="1.5" aria-hidden="true">
      <path d="M3.5 20.5h17M5 17V5h3.5v12zM10.5 17V8H14v9zM16.2 16.8 15 6.4l3-.4 1.3 10.4z" strokeLinejoin="round" />
    </svg>
  );
}

export const SHELF_PLUGIN = { title: 'Operations', icon: ShelfIcon, content: Shelf };
