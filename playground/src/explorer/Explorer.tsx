import { useGraphiQL } from '@graphiql/react';
import { GraphiQL, HISTORY_PLUGIN } from 'graphiql';
import { useEffect } from 'react';
import { at } from '../shared/server';
import { Account } from './Account';
import { fetcher } from './fetcher';
import { NARROW } from './open';
import { SHELF_PLUGIN } from './Shelf';
import { named } from './operations';
import { Status } from './Status';
import { storage } from './storage';
import { TabsMended } from './TabsMended';

const PLUGINS = [SHELF_PLUGIN, HISTORY_PLUGIN];

const { query, variables } = named('Register');

/** GraphiQL, with a shelf of operations, somebody to ask as, and subscriptions that resume. */
export function Explorer() {
  return (
    <GraphiQL
      {...firstContents()}
      fetcher={fetcher}
      storage={storage}
      plugins={PLUGINS}
      visiblePlugin={matchMedia(NARROW).matches ? undefined : SHELF_PLUGIN}
      defaultTabs={[{ query, variables }]}
      defaultEditorToolsVisibility="variables"
      schemaDescription
      inputValueDeprecation
    >
      <GraphiQL.Logo>
        <Brand />
      </GraphiQL.Logo>
      <GraphiQL.Footer>
        <Status />
      </GraphiQL.Footer>
      <LinesThatWrap />
      <TabsMended />
    </GraphiQL>
  );
}

function Brand() {
  return (
    <span className="kith-brand">
      <Account />
      <a href={at('.').href}>Chat</a>
    </span>
  );
}

/** Ids are long and panes are narrow. */
function LinesThatWrap() {
  const editors = useGraphiQL(({ queryEditor, variableEditor, headerEditor, responseEditor }) => [
    queryEditor,
    variableEditor,
    headerEditor,
    responseEditor,
  ]);
  useEffect(() => {
    const lineNumbers = matchMedia(NARROW).matches ? 'off' : 'on';
    for (const editor of editors) editor?.updateOptions({ fontSize: 14, lineNumbers, wordWrap: 'on' });
  }, [editors]);
  return null;
}

// What the editors show at first: the active one of the stored tabs, else the first example. GraphiQL keeps the editors'
// contents beside the tabs and fits the two together at a visit; they do not fit after a quick reload, and it then opens
// one more tab. Given by hand they always fit.
function firstContents() {
  let tab: { query?: string | null; variables?: string | null } | undefined;
  try {
    const stored = JSON.parse(storage.getItem('graphiql:tabState') ?? '') as { tabs: [typeof tab]; activeTabIndex: number };
    tab = stored.tabs[stored.activeTabIndex];
  } catch {
    // Nothing stored, or something else.
  }
  return { initialQuery: tab ? (tab.query ?? '') : query, initialVariables: tab ? (tab.variables ?? '') : variables };
}
