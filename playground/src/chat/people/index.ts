export { ClaimInvitePage, type ClaimInvitePageProps } from './ClaimInvitePage';
export { PeoplePage } from './PeoplePage';
export { PersonPanel, type PersonPanelProps } from './PersonPanel';
export { Presence } from './Presence';
export { useWaitingInvites } from './useWaitingInvites';
