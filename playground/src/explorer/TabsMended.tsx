import { useGraphiQL, useGraphiQLActions } from '@graphiql/react';
import { useEffect, useLayoutEffect } from 'react';

/** What GraphiQL's tabs lack. */
export function TabsMended() {
  const { stop } = useGraphiQLActions();
  const activeId = useGraphiQL(({ activeTabIndex, tabs }) => tabs[activeTabIndex]?.id);
  const state = useGraphiQL(({ activeTabIndex, tabs }) => [activeTabIndex, ...tabs.map(({ title }) => title)].join());

  // A subscription would go on into the response of a new tab.
  useEffect(stop, [activeId, stop]);

  // The tabs are buttons within something that says that it is a tab, which a screen reader reads as one thing that cannot
  // be pressed. They are a list of buttons, of which one is current. And the current one is brought into sight.
  useLayoutEffect(() => {
    document.querySelector('.graphiql-tabs')?.setAttribute('role', 'list');
    for (const tab of document.querySelectorAll('.graphiql-tab')) {
      const isActive = tab.classList.contains('graphiql-tab-active');
      tab.setAttribute('role', 'listitem');
      tab.removeAttribute('aria-selected');
      tab.querySelector('button')?.setAttribute('aria-current', String(isActive));
      if (isActive) tab.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    }
    document.getElementById('graphiql-session')?.setAttribute('role', 'main');
  }, [state]);
  return null;
}
