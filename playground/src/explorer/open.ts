import { pick, useGraphiQL, useGraphiQLActions } from '@graphiql/react';
import { filled } from './seen';
import type { Operation } from './operations';

/** Where there is no room for the shelf beside the editor. */
export const NARROW = '(max-width: 800px)';

/** Opens an operation in a tab: the one in which it is already, else an empty one, else a new one. */
export function useOpen() {
  const { addTab, changeTab, setOperationName, setVisiblePlugin, stop, updateActiveTabValues } = useGraphiQLActions();
  const { activeTabIndex, queryEditor, tabs, variableEditor } = useGraphiQL(
    pick('activeTabIndex', 'queryEditor', 'tabs', 'variableEditor'),
  );
  return (operation: Operation) => {
    if (!queryEditor || !variableEditor) return;
    const there = tabs.findIndex((tab) => tab.operationName === operation.name);
    if (there >= 0) {
      if (there !== activeTabIndex) changeTab(there);
      // What was learned since it was opened.
      const variables = variableEditor.getValue();
      if (filled(variables) !== variables) variableEditor.setValue(filled(variables));
    } else {
      stop();
      if (queryEditor.getValue().trim()) addTab();
      const { name: operationName, query } = operation;
      const variables = filled(operation.variables);
      updateActiveTabValues({ operationName, query, variables });
      queryEditor.setValue(query);
      variableEditor.setValue(variables);
    }
    // The editor tells it a moment later, too late for who runs it at once.
    setOperationName(operation.name);
    queryEditor.setScrollTop(0);
    if (matchMedia(NARROW).matches) setVisiblePlugin(null);
    else queryEditor.focus();
  };
}
