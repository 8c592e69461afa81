// A small world to look at: five people, who know each other, and what they have said.
import { PASSWORD } from './chat-window.mjs';
import { Person } from './harness.mjs';

const PEOPLE = { ada: 'Ada Lovelace', grace: 'Grace Hopper', katherine: 'Katherine Johnson', alan: 'Alan Turing', emmy: 'Emmy Noether' };

/** Fills a server, by the API. Gives the people, the ids of conversations and the code of an invite link. */
export async function fill(url) {
  const people = {};
  for (const [username, displayName] of Object.entries(PEOPLE)) {
    people[username] = await Person.register(url, { username, displayName, password: PASSWORD });
    await people[username].mutate('updateProfile', { discoverable: true });
  }
  const { ada, grace, katherine, alan, emmy } = people;

  const direct = await befriend(ada, grace, 'We met at the calculating engine.');
  const quiet = await befriend(ada, katherine);
  await befriend(grace, katherine);
  await befriend(grace, alan);
  await alan.mutate('sendInvite', { friend: { username: 'ada', note: 'Your notes on the engine are still the best.' } });
  await ada.mutate('sendInvite', { friend: { username: 'emmy' } });

  const { group } = await ada.mutate('createGroup', { name: 'Sunday walk', description: 'Whoever comes, comes. Good shoes.' }, 'group { id }');
  for (const friend of [grace, katherine]) {
    const input = { group: { groupId: group.id, username: friend.username } };
    const { invite } = await ada.mutate('sendInvite', input, 'invite { id }');
    await friend.mutate('acceptInvite', { inviteId: invite.id }, '', 'InviteActionInput');
  }
  const { inviteLink } = await ada.mutate('createInviteLink', { groupId: group.id, maxUses: 20 }, 'inviteLink { code }');

  await katherine.send(quiet, 'The numbers check out. I did them twice, by hand.');
  await ada.send(quiet, 'I never doubted it.');

  await ada.send(group.id, 'The river path, or over the hill?');
  const hill = await grace.send(group.id, 'Over the hill. There is a view of the harbour, and a bench for whoever wants to argue about compilers.');
  await katherine.send(group.id, 'Hill. 4.2 km, 130 m up, about an hour and ten.');
  const { messageEdge } = await ada.mutate(
    'sendMessage',
    { conversationId: group.id, body: 'Hill it is. I bring tea.', replyToId: hill.id },
    'messageEdge { node { id } }',
  );
  for (const friend of [grace, katherine]) await react(friend, messageEdge.node.id, '🎉');
  await katherine.send(group.id, 'Half past nine at the gate?');
  await grace.send(group.id, 'Half past nine. I will be the one with the clock.');

  await ada.send(direct, 'I have been through your letter twice now.');
  await ada.send(direct, 'One thing I do not see: what happens when two of them speak at once?');
  const order = await grace.send(direct, 'Then the server decides. Each message has a number, and everybody sees the same order.');
  await ada.send(direct, 'And when the line breaks in the middle of a sentence?');
  await grace.send(direct, 'You say it again with the same key. It is there once, whatever was lost.');
  await react(ada, order.id, '👍');
  await ada.send(direct, 'That is rather beautiful.');
  await grace.send(direct, 'It is only bookkeeping. But yes.');
  await grace.send(direct, 'See you on Sunday?');
  return { people, direct, group: group.id, code: inviteLink.code };
}

async function befriend(one, other, note) {
  const { invite } = await one.mutate('sendInvite', { friend: { username: other.username, note } }, 'invite { id }');
  const selection = 'conversation { id }';
  return (await other.mutate('acceptInvite', { inviteId: invite.id }, selection, 'InviteActionInput')).conversation.id;
}

const react = (person, messageId, emoji) => person.mutate('addReaction', { messageId, emoji }, '', 'ReactionInput');
