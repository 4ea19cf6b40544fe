INSERT INTO public.accounts_subscriber (id, email, address_hash, state, zone, hour, frequency, weekday, length, fill_mode, note_when_empty, learns_from_clicks, paused_until, unsubscribe_key, created_at, confirmed_at, left_at, consent_text, consent_how) VALUES (1, 'reader0@example.org', 'd52c520d0a8f7ed15b9e2bfa0e3abc812f81be5323a0e38a41fb1621bc0241d7', 'active', 'UTC', 7, 'daily', 0, 10, 'followed_first', false, true, NULL, 'Cl6emmFU6RDrg6y9MiQ5ig', '2026-11-30 23:09:22.478111+00', '2026-11-20 09:00:00+00', NULL, '', '');
INSERT INTO public.accounts_subscriber (id, email, address_hash, state, zone, hour, frequency, weekday, length, fill_mode, note_when_empty, learns_from_clicks, paused_until, unsubscribe_key, created_at, confirmed_at, left_at, consent_text, consent_how) VALUES (2, 'reader1@example.org', 'f1b290ccd44a6b6ac16020746ee886567bfefc42b704c8e6b48d23afc63dc4d3', 'active', 'UTC', 7, 'daily', 0, 10, 'followed_first', false, true, NULL, 'vuvbbUuNukSkoFr1DHjkGw', '2026-11-30 23:09:22.754589+00', '2026-11-20 09:00:00+00', NULL, '', '');
INSERT INTO public.accounts_subscriber (id, email, address_hash, state, zone, hour, frequency, weekday, length, fill_mode, note_when_empty, learns_from_clicks, paused_until, unsubscribe_key, created_at, confirmed_at, left_at, consent_text, consent_how) VALUES (3, 'reader@example.org', '469b84d29c2f0afc10c144feb8954113837c2d308bf49388c8cbd67d13155286', 'active', 'UTC', 7, 'daily', 0, 10, 'followed_first', false, true, NULL, 'HP11_dBoLRAqOtw-AV6Xjg', '2026-11-30 23:09:22.916486+00', '2026-11-20 09:00:00+00', NULL, '', '');
INSERT INTO public.accounts_link (id, purpose, key, payload, created_at, expires_at, used_at, subscriber_id) VALUES (1, 'preferences', 'De4JIvFyJEL1qVJJWCeiWQ', '{}', '2026-11-20 09:00:00+00', '2026-12-20 09:00:00+00', NULL, 3);
INSERT INTO public.accounts_accountmail (id, kind, email, payload, created_at, attempts, next_attempt_at, last_error, link_id, subscriber_id) VALUES (1, 'sign_up', 'new0@example.org', '{}', '2026-11-30 23:09:22.675987+00', 0, '2026-11-30 23:09:22.675995+00', '<img src=x onerror=alert(1)> & "A
Bcc: x@y"', NULL, NULL);
INSERT INTO public.accounts_accountmail (id, kind, email, payload, created_at, attempts, next_attempt_at, last_error, link_id, subscriber_id) VALUES (2, 'sign_up', 'new1@example.org', '{}', '2026-11-30 23:09:22.890938+00', 0, '2026-11-30 23:09:22.890947+00', '<img src=x onerror=alert(1)> & "A
Bcc: x@y"', NULL, NULL);
INSERT INTO public.accounts_suppression (id, address_hash, reason, created_at) VALUES (1, '51c79ead3d27b044623621479d6d475ade7cb162964d1b9cfcc25dae54f09933', 'manual', '2026-11-30 23:09:22.674711+00');
INSERT INTO public.accounts_suppression (id, address_hash, reason, created_at) VALUES (2, '3b6c8a513a7c494f4c1051fca89cdc015402127f7aa5c384ddc3fbd7e2805cd6', 'manual', '2026-11-30 23:09:22.874585+00');
INSERT INTO public.accounts_user (id, password, last_login, is_superuser, email, name, is_staff, is_active, date_joined, two_factor_at) VALUES (1, 'pbkdf2_sha256$1000000$zIC8kWAmtAip7ISnA4sFz2$9na83qQs00eCXhVVl52mfg/FNgh1Gk03Z5jb95nqTho=', NULL, true, 'editor@example.org', '', true, true, '2026-11-30 23:09:21.132596+00', NULL);
INSERT INTO public.accounts_user (id, password, last_login, is_superuser, email, name, is_staff, is_active, date_joined, two_factor_at) VALUES (2, '!DphhsDpgPNOwIc8y8ayB14fMJKMDnqO1jhbXLPTf', NULL, false, 'staff0@example.org', '', true, true, '2026-11-30 23:09:22.715437+00', NULL);
INSERT INTO public.accounts_user (id, password, last_login, is_superuser, email, name, is_staff, is_active, date_joined, two_factor_at) VALUES (3, '!TKrsZAAlpSJneYHsCblz3f98J7ERY2GnEKdzkiE3', NULL, false, 'staff1@example.org', '', true, true, '2026-11-30 23:09:22.912525+00', NULL);
INSERT INTO public.digest_paper (id, identifier, version, announced_on, announce_type, title_raw, abstract_raw, title, abstract, authors, organization, categories, "primary", published_at, doi, license, code_url, project_url, ai_summary, ai_keywords, votes, comments, stars, created_at, updated_at, vector, vector_version, dense_vector, dense_version) VALUES (1, '2611.90001', 1, '2026-11-20', 'new', '<img src=x onerror=alert(1)> & "A
Bcc: x@y" 0', 'We study <img src=x onerror=alert(1)> & "A
Bcc: x@y" 0. It works well. Code is released.', '<img src=x onerror=alert(1)> & "A
Bcc: x@y" 0', 'We study <img src=x onerror=alert(1)> & "A
Bcc: x@y" 0. It works well. Code is released.', '["Ada Okafor", "Bruno Lindqvist"]', '', '["cs.LG"]', 'cs.LG', NULL, '', '', '', '', '', '[]', 0, 0, 0, '2026-11-20 09:00:00+00', '2026-11-20 09:00:00+00', NULL, '', NULL, '');
INSERT INTO public.digest_paper (id, identifier, version, announced_on, announce_type, title_raw, abstract_raw, title, abstract, authors, organization, categories, "primary", published_at, doi, license, code_url, project_url, ai_summary, ai_keywords, votes, comments, stars, created_at, updated_at, vector, vector_version, dense_vector, dense_version) VALUES (2, '2611.90002', 1, '2026-11-20', 'new', '<img src=x onerror=alert(1)> & "A
Bcc: x@y" 1', 'We study <img src=x onerror=alert(1)> & "A
Bcc: x@y" 1. It works well. Code is released.', '<img src=x onerror=alert(1)> & "A
Bcc: x@y" 1', 'We study <img src=x onerror=alert(1)> & "A
Bcc: x@y" 1. It works well. Code is released.', '["Ada Okafor", "Bruno Lindqvist"]', '', '["cs.LG"]', 'cs.LG', NULL, '', '', '', '', '', '[]', 0, 0, 0, '2026-11-20 09:00:00+00', '2026-11-20 09:00:00+00', NULL, '', NULL, '');
INSERT INTO public.digest_paper (id, identifier, version, announced_on, announce_type, title_raw, abstract_raw, title, abstract, authors, organization, categories, "primary", published_at, doi, license, code_url, project_url, ai_summary, ai_keywords, votes, comments, stars, created_at, updated_at, vector, vector_version, dense_vector, dense_version) VALUES (3, '2611.90003', 1, '2026-01-01', 'new', 'Invented paper number 3', 'We study Invented paper number 3. It works well. Code is released.', 'Invented paper number 3', 'We study Invented paper number 3. It works well. Code is released.', '["Ada Okafor", "Bruno Lindqvist"]', '', '["cs.LG"]', 'cs.LG', NULL, '', '', '', '', '', '[]', 0, 0, 0, '2026-11-20 09:00:00+00', '2026-11-20 09:00:00+00', NULL, '', NULL, '');
INSERT INTO public.digest_paper (id, identifier, version, announced_on, announce_type, title_raw, abstract_raw, title, abstract, authors, organization, categories, "primary", published_at, doi, license, code_url, project_url, ai_summary, ai_keywords, votes, comments, stars, created_at, updated_at, vector, vector_version, dense_vector, dense_version) VALUES (4, '2611.90004', 1, '2026-01-02', 'new', 'Invented paper number 4', 'We study Invented paper number 4. It works well. Code is released.', 'Invented paper number 4', 'We study Invented paper number 4. It works well. Code is released.', '["Ada Okafor", "Bruno Lindqvist"]', '', '["cs.LG"]', 'cs.LG', NULL, '', '', '', '', '', '[]', 0, 0, 0, '2026-11-20 09:00:00+00', '2026-11-20 09:00:00+00', NULL, '', NULL, '');
INSERT INTO public.digest_attentionsample (id, source, kind, value, at, paper_id) VALUES (1, 'huggingface', 'votes', 3, '2026-11-20 09:00:00+00', 1);
INSERT INTO public.digest_edition (id, day, state, note, ranked_at, frozen_at) VALUES (1, '2026-11-20', 'open', '<img src=x onerror=alert(1)> & "A
Bcc: x@y"', NULL, NULL);
INSERT INTO public.digest_edition (id, day, state, note, ranked_at, frozen_at) VALUES (2, '2026-01-01', 'frozen', '', NULL, '2026-11-20 09:00:00+00');
INSERT INTO public.digest_edition (id, day, state, note, ranked_at, frozen_at) VALUES (3, '2026-01-02', 'frozen', '', NULL, '2026-11-20 09:00:00+00');
INSERT INTO public.digest_slot (id, at, kind, cursor, planned_at, edition_id) VALUES (1, '2026-11-20 09:00:00+00', 'hour', 0, '2026-11-20 09:00:00+00', 2);
INSERT INTO public.digest_slot (id, at, kind, cursor, planned_at, edition_id) VALUES (2, '2026-11-20 09:00:00+00', 'hour', 0, '2026-11-20 09:00:00+00', 3);
INSERT INTO public.digest_batch (id, readers, state, lease_until, lease_token, attempts, last_position, last_digest_id, error, released_at, accepted_at, slot_id) VALUES (1, '[1]', 'planned', NULL, '', 0, 0, 0, '<img src=x onerror=alert(1)> & "A
Bcc: x@y"', NULL, NULL, 1);
INSERT INTO public.digest_batch (id, readers, state, lease_until, lease_token, attempts, last_position, last_digest_id, error, released_at, accepted_at, slot_id) VALUES (2, '[2]', 'planned', NULL, '', 0, 0, 0, '<img src=x onerror=alert(1)> & "A
Bcc: x@y"', NULL, NULL, 2);
INSERT INTO public.digest_candidate (id, trend, breakdown, card, pin, boost, is_hidden, note, edition_id, paper_id) VALUES (1, 1, '{}', '{"date": "2026-11-20", "stars": 0, "title": "<img src=x onerror=alert(1)> & \"A\nBcc: x@y\" 0", "votes": 0, "authors": "Ada Okafor, Bruno Lindqvist", "pdf_url": "https://arxiv.org/pdf/2611.90001", "primary": "cs.LG", "summary": "We study <img src=x onerror=alert(1)> & \"A\nBcc: x@y\" 0. It works well. Code is released.", "abstract": "We study <img src=x onerror=alert(1)> & \"A\nBcc: x@y\" 0. It works well. Code is released.", "code_url": "", "comments": 0, "arxiv_url": "https://arxiv.org/abs/2611.90001", "published": null, "categories": ["cs.LG"], "identifier": "2611.90001", "project_url": "", "organization": "", "announce_type": "new"}', NULL, 0, false, '', 1, 1);
INSERT INTO public.digest_candidate (id, trend, breakdown, card, pin, boost, is_hidden, note, edition_id, paper_id) VALUES (2, 0.99, '{}', '{"date": "2026-11-20", "stars": 0, "title": "<img src=x onerror=alert(1)> & \"A\nBcc: x@y\" 1", "votes": 0, "authors": "Ada Okafor, Bruno Lindqvist", "pdf_url": "https://arxiv.org/pdf/2611.90002", "primary": "cs.LG", "summary": "We study <img src=x onerror=alert(1)> & \"A\nBcc: x@y\" 1. It works well. Code is released.", "abstract": "We study <img src=x onerror=alert(1)> & \"A\nBcc: x@y\" 1. It works well. Code is released.", "code_url": "", "comments": 0, "arxiv_url": "https://arxiv.org/abs/2611.90002", "published": null, "categories": ["cs.LG"], "identifier": "2611.90002", "project_url": "", "organization": "", "announce_type": "new"}', NULL, 0, false, '', 1, 2);
INSERT INTO public.digest_candidate (id, trend, breakdown, card, pin, boost, is_hidden, note, edition_id, paper_id) VALUES (3, 1, '{}', '{"date": "2026-01-01", "stars": 0, "title": "Invented paper number 3", "votes": 0, "authors": "Ada Okafor, Bruno Lindqvist", "pdf_url": "https://arxiv.org/pdf/2611.90003", "primary": "cs.LG", "summary": "We study Invented paper number 3. It works well. Code is released.", "abstract": "We study Invented paper number 3. It works well. Code is released.", "code_url": "", "comments": 0, "arxiv_url": "https://arxiv.org/abs/2611.90003", "published": null, "categories": ["cs.LG"], "identifier": "2611.90003", "project_url": "", "organization": "", "announce_type": "new"}', NULL, 0, false, '', 2, 3);
INSERT INTO public.digest_candidate (id, trend, breakdown, card, pin, boost, is_hidden, note, edition_id, paper_id) VALUES (4, 1, '{}', '{"date": "2026-01-02", "stars": 0, "title": "Invented paper number 4", "votes": 0, "authors": "Ada Okafor, Bruno Lindqvist", "pdf_url": "https://arxiv.org/pdf/2611.90004", "primary": "cs.LG", "summary": "We study Invented paper number 4. It works well. Code is released.", "abstract": "We study Invented paper number 4. It works well. Code is released.", "code_url": "", "comments": 0, "arxiv_url": "https://arxiv.org/abs/2611.90004", "published": null, "categories": ["cs.LG"], "identifier": "2611.90004", "project_url": "", "organization": "", "announce_type": "new"}', NULL, 0, false, '', 3, 4);
INSERT INTO public.digest_digest (id, key, packed_picks, created_at, outcome, reason, provider_detail, refusals, message_id, outcome_at, resent_at, batch_id, subscriber_id, edition_id) VALUES (1, 'uszGNfDYJiCTf2ZKgUpvMg', '\x030000000100000000', '2026-11-20 09:00:00+00', 'pending', '', '<img src=x onerror=alert(1)> & "A
Bcc: x@y"', 0, '', NULL, NULL, 1, 1, 2);
INSERT INTO public.digest_digest (id, key, packed_picks, created_at, outcome, reason, provider_detail, refusals, message_id, outcome_at, resent_at, batch_id, subscriber_id, edition_id) VALUES (2, 'tpIIeADoAa-WQrvXk4hlfw', '\x040000000200000000', '2026-11-20 09:00:00+00', 'pending', '', '<img src=x onerror=alert(1)> & "A
Bcc: x@y"', 0, '', NULL, NULL, 2, 2, 3);
INSERT INTO public.digest_embeddingmodel (id, version, content, papers, created_at) VALUES (1, 'v0', '\x6d6f64656c', 1, '2026-11-30 23:09:22.714025+00');
INSERT INTO public.digest_embeddingmodel (id, version, content, papers, created_at) VALUES (2, 'v1', '\x6d6f64656c', 1, '2026-11-30 23:09:22.911299+00');
INSERT INTO public.digest_event (id, source, key, semantic_key, kind, payload, at, received_at, processed_at, digest_id) VALUES (1, 'sendgrid', 'event 0', '0', 'bounce', '{"reason": "<img src=x onerror=alert(1)> & \"A\nBcc: x@y\""}', '2026-11-20 09:00:00+00', '2026-11-30 23:09:22.596865+00', NULL, 1);
INSERT INTO public.digest_event (id, source, key, semantic_key, kind, payload, at, received_at, processed_at, digest_id) VALUES (2, 'sendgrid', 'event 1', '1', 'bounce', '{"reason": "<img src=x onerror=alert(1)> & \"A\nBcc: x@y\""}', '2026-11-20 09:00:00+00', '2026-11-30 23:09:22.813955+00', NULL, 2);
INSERT INTO public.digest_interest (id, kind, value) VALUES (1, 'keyword', '<img src=x onerror=alert(1)> & "A
Bcc: x@y" 0');
INSERT INTO public.digest_interest (id, kind, value) VALUES (2, 'keyword', '<img src=x onerror=alert(1)> & "A
Bcc: x@y" 1');
INSERT INTO public.digest_interest (id, kind, value) VALUES (3, 'keyword', 'attention');
INSERT INTO public.digest_interest (id, kind, value) VALUES (4, 'author', 'Ada Okafor');
INSERT INTO public.digest_interest (id, kind, value) VALUES (5, 'category', 'cs.LG');
INSERT INTO public.digest_follow (id, weight, source, created_at, subscriber_id, interest_id) VALUES (1, 1, 'chosen', '2026-11-30 23:09:22.551575+00', 1, 1);
INSERT INTO public.digest_follow (id, weight, source, created_at, subscriber_id, interest_id) VALUES (2, 1, 'chosen', '2026-11-30 23:09:22.782011+00', 2, 2);
INSERT INTO public.digest_follow (id, weight, source, created_at, subscriber_id, interest_id) VALUES (3, 1, 'chosen', '2026-11-30 23:09:22.926649+00', 3, 3);
INSERT INTO public.digest_follow (id, weight, source, created_at, subscriber_id, interest_id) VALUES (4, 1, 'chosen', '2026-11-30 23:09:22.952868+00', 3, 4);
INSERT INTO public.digest_follow (id, weight, source, created_at, subscriber_id, interest_id) VALUES (5, 1, 'chosen', '2026-11-30 23:09:22.960434+00', 3, 5);
INSERT INTO public.digest_foreigneventcount (id, source, day, number) VALUES (1, 'sendgrid', '2026-01-01', 3);
INSERT INTO public.digest_foreigneventcount (id, source, day, number) VALUES (2, 'sendgrid', '2026-01-02', 3);
INSERT INTO public.digest_heartbeat (name, at) VALUES ('beat', '2026-11-20 09:00:00+00');
INSERT INTO public.digest_ingestrun (id, kind, source, origin, state, failure, feed_state, started_at, finished_at, new, updated, unchanged, samples, withdrawn, restored, note, error, categories, window_from, window_until, set_spec, paper_identifier, token, pages, records, expected_records, heartbeat_at, attempts, missed, corrected, confirmed, unconfirmed, refused_records, token_hashes, worker_id, etag, last_modified) VALUES (1, '', 'arxiv', '<img src=x onerror=alert(1)> & "A
Bcc: x@y"', 'failed', '', '', '2026-11-20 09:00:00+00', NULL, 0, 0, 0, 0, 0, 0, '', '<img src=x onerror=alert(1)> & "A
Bcc: x@y"', '[]', NULL, NULL, '', '', '', 0, 0, NULL, NULL, 0, 0, 0, 0, 0, '[]', '[]', '', '', '');
INSERT INTO public.digest_ingestrun (id, kind, source, origin, state, failure, feed_state, started_at, finished_at, new, updated, unchanged, samples, withdrawn, restored, note, error, categories, window_from, window_until, set_spec, paper_identifier, token, pages, records, expected_records, heartbeat_at, attempts, missed, corrected, confirmed, unconfirmed, refused_records, token_hashes, worker_id, etag, last_modified) VALUES (2, '', 'arxiv', '<img src=x onerror=alert(1)> & "A
Bcc: x@y"', 'failed', '', '', '2026-11-20 09:00:00+00', NULL, 0, 0, 0, 0, 0, 0, '', '<img src=x onerror=alert(1)> & "A
Bcc: x@y"', '[]', NULL, NULL, '', '', '', 0, 0, NULL, NULL, 0, 0, 0, 0, 0, '[]', '[]', '', '', '');
INSERT INTO public.digest_pendingpaper (id, identifier, at, not_found, subscriber_id) VALUES (1, '2401.10000', '2026-11-20 09:00:00+00', false, 3);
INSERT INTO public.digest_recall (id, reason, is_withdrawal, created_at, paper_id) VALUES (1, '<img src=x onerror=alert(1)> & "A
Bcc: x@y"', false, '2026-11-30 23:09:22.662583+00', 3);
INSERT INTO public.digest_recall (id, reason, is_withdrawal, created_at, paper_id) VALUES (2, '<img src=x onerror=alert(1)> & "A
Bcc: x@y"', false, '2026-11-30 23:09:22.868837+00', 4);
INSERT INTO public.digest_sendingpause (id, reason, is_automatic, at, released_at, probe_at, probes, edition_id) VALUES (1, '<img src=x onerror=alert(1)> & "A
Bcc: x@y"', true, '2026-11-20 09:00:00+00', NULL, NULL, 0, 2);
INSERT INTO public.digest_sendingpause (id, reason, is_automatic, at, released_at, probe_at, probes, edition_id) VALUES (2, '<img src=x onerror=alert(1)> & "A
Bcc: x@y"', true, '2026-11-20 09:00:00+00', NULL, NULL, 0, 3);
INSERT INTO public.digest_sendingpause (id, reason, is_automatic, at, released_at, probe_at, probes, edition_id) VALUES (3, 'an old pause', false, '2026-11-30 23:09:22.962089+00', '2026-11-20 09:00:00+00', NULL, 0, NULL);
INSERT INTO public.digest_submission (id, identifier, state, title, authors, abstract, "primary", announced_on, why, created_at, decided_at) VALUES (1, '2611.90000', 'waiting', '<img src=x onerror=alert(1)> & "A
Bcc: x@y"', '["<img src=x onerror=alert(1)> & \"A\nBcc: x@y\""]', '<img src=x onerror=alert(1)> & "A
Bcc: x@y"', '', NULL, '<img src=x onerror=alert(1)> & "A
Bcc: x@y"', '2026-11-20 09:00:00+00', NULL);
INSERT INTO public.digest_submission (id, identifier, state, title, authors, abstract, "primary", announced_on, why, created_at, decided_at) VALUES (2, '2611.90001', 'waiting', '<img src=x onerror=alert(1)> & "A
Bcc: x@y"', '["<img src=x onerror=alert(1)> & \"A\nBcc: x@y\""]', '<img src=x onerror=alert(1)> & "A
Bcc: x@y"', '', NULL, '<img src=x onerror=alert(1)> & "A
Bcc: x@y"', '2026-11-20 09:00:00+00', NULL);
INSERT INTO public.digest_submissionrequest (id, at, submission_id, subscriber_id) VALUES (1, '2026-11-20 09:00:00+00', 1, 1);
INSERT INTO public.digest_submissionrequest (id, at, submission_id, subscriber_id) VALUES (2, '2026-11-20 09:00:00+00', 2, 2);
INSERT INTO public.digest_topic (id, name, slug, description, keywords, categories, "position", is_listed) VALUES (1, 'Topic 0', 'topic-0', '<img src=x onerror=alert(1)> & "A
Bcc: x@y"', '["topic 0"]', '[]', 100, true);
INSERT INTO public.digest_topic (id, name, slug, description, keywords, categories, "position", is_listed) VALUES (2, 'Topic 1', 'topic-1', '<img src=x onerror=alert(1)> & "A
Bcc: x@y"', '["topic 1"]', '[]', 100, true);
INSERT INTO public.digest_topic_examples (id, topic_id, paper_id) VALUES (1, 1, 3);
INSERT INTO public.digest_topic_examples (id, topic_id, paper_id) VALUES (2, 2, 4);
SELECT pg_catalog.setval('public.accounts_accountmail_id_seq', 2, true);
SELECT pg_catalog.setval('public.accounts_link_id_seq', 1, true);
SELECT pg_catalog.setval('public.accounts_subscriber_id_seq', 3, true);
SELECT pg_catalog.setval('public.accounts_suppression_id_seq', 2, true);
SELECT pg_catalog.setval('public.accounts_user_groups_id_seq', 1, false);
SELECT pg_catalog.setval('public.accounts_user_id_seq', 3, true);
SELECT pg_catalog.setval('public.accounts_user_user_permissions_id_seq', 1, false);
SELECT pg_catalog.setval('public.digest_attentionsample_id_seq', 1, true);
SELECT pg_catalog.setval('public.digest_batch_id_seq', 2, true);
SELECT pg_catalog.setval('public.digest_candidate_id_seq', 4, true);
SELECT pg_catalog.setval('public.digest_digest_id_seq', 2, true);
SELECT pg_catalog.setval('public.digest_edition_id_seq', 3, true);
SELECT pg_catalog.setval('public.digest_embeddingmodel_id_seq', 2, true);
SELECT pg_catalog.setval('public.digest_event_id_seq', 2, true);
SELECT pg_catalog.setval('public.digest_follow_id_seq', 5, true);
SELECT pg_catalog.setval('public.digest_foreigneventcount_id_seq', 2, true);
SELECT pg_catalog.setval('public.digest_ingestrun_id_seq', 2, true);
SELECT pg_catalog.setval('public.digest_interest_id_seq', 5, true);
SELECT pg_catalog.setval('public.digest_paper_id_seq', 4, true);
SELECT pg_catalog.setval('public.digest_pendingpaper_id_seq', 1, true);
SELECT pg_catalog.setval('public.digest_recall_id_seq', 2, true);
SELECT pg_catalog.setval('public.digest_sendingpause_id_seq', 3, true);
SELECT pg_catalog.setval('public.digest_slot_id_seq', 2, true);
SELECT pg_catalog.setval('public.digest_submission_id_seq', 2, true);
SELECT pg_catalog.setval('public.digest_submissionrequest_id_seq', 2, true);
SELECT pg_catalog.setval('public.digest_topic_examples_id_seq', 2, true);
SELECT pg_catalog.setval('public.digest_topic_id_seq', 2, true);
