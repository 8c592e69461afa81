// What the data layer itself asks. The pages have their own questions beside them, out of the same fragments.
import { graphql } from '../../gql';

export const UserItem = graphql(`
  fragment UserItem on User {
    id
    username
    displayName
    relationship
    presence {
      user {
        id
      }
      status
      lastSeenAt
    }
  }
`);

export const MessageItem = graphql(`
  fragment MessageItem on Message {
    id
    sequence
    body
    createdAt
    editedAt
    deletedAt
    conversation {
      id
    }
    sender {
      id
      username
      displayName
    }
    replyTo {
      id
      sequence
      body
      deletedAt
      sender {
        id
        displayName
      }
    }
    reactions {
      emoji
      count
      viewerHasReacted
    }
  }
`);

export const ConversationItem = graphql(`
  fragment ConversationItem on Conversation {
    __typename
    id
    lastActivityAt
    unreadCount
    viewerCanSend
    lastMessage {
      ...MessageItem
    }
    ... on DirectConversation {
      peer {
        ...UserItem
      }
    }
    ... on Group {
      name
      description
      memberCount
      viewerRole
    }
  }
`);

/** Members and how far they have read: one list, wherever it is shown. */
export const MemberItem = graphql(`
  fragment MemberItem on MemberEdge {
    role
    joinedAt
    lastReadSequence
    lastReadAt
    node {
      ...UserItem
    }
  }
`);

export const InviteItem = graphql(`
  fragment InviteItem on Invite {
    id
    kind
    status
    note
    email
    createdAt
    expiresAt
    respondedAt
    inviter {
      ...UserItem
    }
    invitee {
      ...UserItem
    }
    group {
      id
      name
    }
  }
`);

export const Events = graphql(`
  subscription Events($after: String) {
    events(after: $after) {
      cursor
      event {
        __typename
        ... on MessageEvent {
          type
          messageEdge {
            cursor
            node {
              ...MessageItem
            }
          }
        }
        ... on ReadReceipt {
          conversationId
          user {
            id
          }
          sequence
          readAt
        }
        ... on TypingEvent {
          conversationId
          user {
            id
            displayName
          }
          typing
        }
        ... on Presence {
          user {
            id
          }
          status
          lastSeenAt
        }
        ... on InviteChanged {
          invite {
            ...InviteItem
          }
        }
        ... on ConversationChanged {
          conversation {
            ...ConversationItem
          }
        }
        ... on ConversationRemoved {
          conversationId
        }
        ... on MemberChanged {
          conversationId
          memberEdge {
            ...MemberItem
          }
        }
        ... on MemberRemoved {
          conversationId
          userId
        }
        ... on FriendshipChanged {
          user {
            ...UserItem
          }
        }
        ... on CaughtUp {
          at
        }
        ... on Heartbeat {
          at
        }
        ... on ResyncRequired {
          reason
        }
      }
    }
  }
`);

export const SendMessage = graphql(`
  mutation SendMessage($input: SendMessageInput!) {
    sendMessage(input: $input) {
      messageEdge {
        cursor
        node {
          ...MessageItem
        }
      }
      userErrors {
        code
        message
      }
    }
  }
`);

/** The messages that the list begins with, as they are cached. */
export const NewestMessages = graphql(`
  query NewestMessages($id: ID!) {
    conversation(id: $id) {
      id
      messages(last: 40) {
        edges {
          cursor
          node {
            id
            sequence
          }
        }
      }
    }
  }
`);

/** What follows a message; the cache puts it at the end of that list. */
export const MissedMessages = graphql(`
  query MissedMessages($id: ID!, $after: String!) {
    conversation(id: $id) {
      id
      messages(first: 100, after: $after) {
        edges {
          cursor
          node {
            ...MessageItem
          }
        }
      }
    }
  }
`);

/** What changes about a group when somebody comes, goes, or has another role. */
export const Membership = graphql(`
  query Membership($id: ID!) {
    conversation(id: $id) {
      id
      viewerCanSend
      ... on Group {
        memberCount
        viewerRole
      }
    }
  }
`);
