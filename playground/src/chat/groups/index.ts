export { CreateGroup, type CreateGroupProps } from './CreateGroup';
export { GroupPanel, type GroupPanelProps } from './GroupPanel';
export { JoinPage, type JoinPageProps } from './JoinPage';
