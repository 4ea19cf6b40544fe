import accounts.models
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.comparison
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Batch',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('readers', models.JSONField(help_text='The ids of its readers, frozen at planning.')),
                ('state', models.CharField(choices=[('planned', 'waiting'), ('claimed', 'claimed, nothing sent yet'), ('sending', 'being sent'), ('done', 'done')], default='planned', max_length=8)),
                ('lease_until', models.DateTimeField(help_text='Until when its worker owns it; while planned, no earlier attempt.', null=True)),
                ('lease_token', models.CharField(blank=True, editable=False, help_text='Identifies the latest claim: a worker with another token has lost it.', max_length=22)),
                ('attempts', models.PositiveSmallIntegerField(default=0, help_text='Consecutive attempts that a temporary refusal ended.')),
                ('last_position', models.PositiveSmallIntegerField(default=0, help_text='How many of its digests were offered to the provider or settled otherwise.')),
                ('last_digest_id', models.BigIntegerField(default=0, help_text='The digest that was offered last, 0 if it was certainly refused: a killed worker leaves its outcome unknown.')),
                ('error', models.CharField(blank=True, help_text='Why it was released before its end.', max_length=300)),
                ('released_at', models.DateTimeField(help_text='When a worker last released it.', null=True)),
                ('accepted_at', models.DateTimeField(help_text='When the provider last accepted one of its digests.', null=True)),
            ],
            options={
                'verbose_name_plural': 'batches',
            },
        ),
        migrations.CreateModel(
            name='EmbeddingModel',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.CharField(help_text='A digest of its content.', max_length=16, unique=True)),
                ('content', models.BinaryField(help_text='The model, as ranking.lsa writes it.')),
                ('papers', models.PositiveIntegerField(help_text='How many papers it was fitted on.')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'get_latest_by': ['created_at', 'pk'],
            },
        ),
        migrations.CreateModel(
            name='Heartbeat',
            fields=[
                ('name', models.CharField(max_length=40, primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='IngestRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('feed', 'arXiv feed'), ('daily_check', 'daily check'), ('harvest', 'OAI-PMH harvest'), ('paper', 'single paper'), ('pending_papers', 'papers of reading lists'), ('huggingface', 'Hugging Face list'), ('document', 'document')], max_length=16)),
                ('source', models.CharField(help_text='arxiv, huggingface, or unknown where the content did not say.', max_length=16)),
                ('origin', models.CharField(help_text='The address or the file that was read.', max_length=500)),
                ('state', models.CharField(choices=[('running', 'running'), ('done', 'done'), ('failed', 'failed')], default='running', max_length=7)),
                ('failure', models.CharField(blank=True, choices=[('unreachable', 'source did not answer'), ('rate_limited', 'source limits our requests'), ('refused', 'document refused'), ('stopped', 'stopped')], help_text='Why it failed.', max_length=12)),
                ('feed_state', models.CharField(blank=True, choices=[('complete', 'complete'), ('partly_stale', 'stale in some categories'), ('stale', 'stale'), ('late', 'late'), ('empty', 'empty'), ('empty_expected', 'empty as expected'), ('unchanged', 'unchanged'), ('incomplete', 'incomplete')], help_text='Whether the feed had the papers of its day.', max_length=16)),
                ('started_at', models.DateTimeField()),
                ('finished_at', models.DateTimeField(null=True)),
                ('new', models.PositiveIntegerField(default=0)),
                ('updated', models.PositiveIntegerField(default=0)),
                ('unchanged', models.PositiveIntegerField(default=0)),
                ('samples', models.PositiveIntegerField(default=0, help_text='New attention samples: votes, comments and stars.')),
                ('withdrawn', models.PositiveIntegerField(default=0, help_text='Papers that the source withdrew or deleted.')),
                ('restored', models.PositiveIntegerField(default=0, help_text='Withdrawn papers that were published again in a new version.')),
                ('note', models.CharField(blank=True, help_text="The result in words: empty as expected, yesterday's papers again, …", max_length=200)),
                ('error', models.TextField(blank=True, help_text='What failed, why, and what to do.')),
                ('categories', models.JSONField(blank=True, default=list, help_text='The arXiv categories that were requested.')),
                ('window_from', models.DateField(blank=True, help_text='The first requested day.', null=True, verbose_name='from')),
                ('window_until', models.DateField(blank=True, help_text='The last requested day.', null=True, verbose_name='until')),
                ('set_spec', models.CharField(blank=True, help_text='The requested set.', max_length=64, verbose_name='OAI-PMH set')),
                ('paper_identifier', models.CharField(blank=True, help_text='The requested paper.', max_length=64, verbose_name='paper')),
                ('token', models.CharField(blank=True, help_text='Resumption token of the next page; saved together with the page before it.', max_length=500)),
                ('pages', models.PositiveIntegerField(default=0, help_text='Pages stored so far.')),
                ('records', models.PositiveIntegerField(default=0, help_text='Records on those pages.')),
                ('expected_records', models.PositiveIntegerField(blank=True, help_text='The total that the source announced.', null=True)),
                ('heartbeat_at', models.DateTimeField(help_text='When it last stored a page.', null=True)),
                ('attempts', models.PositiveSmallIntegerField(default=0, help_text='How often a harvest was started or resumed.')),
                ('missed', models.PositiveIntegerField(default=0, help_text='Papers in OAI-PMH that the feeds had not listed.')),
                ('corrected', models.PositiveIntegerField(default=0, help_text='Papers whose text, categories or version the daily check corrected.')),
                ('confirmed', models.PositiveIntegerField(default=0, help_text='New papers of the day that OAI-PMH has too.')),
                ('unconfirmed', models.PositiveIntegerField(default=0, help_text='New papers of the day that OAI-PMH does not have.')),
                ('refused_records', models.JSONField(blank=True, default=list, help_text='Records that could not be read: identifier and reason of each.')),
                ('token_hashes', models.JSONField(blank=True, default=list, editable=False)),
                ('worker_id', models.CharField(blank=True, editable=False, max_length=80)),
                ('etag', models.CharField(blank=True, editable=False, max_length=200)),
                ('last_modified', models.CharField(blank=True, editable=False, max_length=64)),
            ],
            options={
                'ordering': ['-started_at', '-pk'],
            },
        ),
        migrations.CreateModel(
            name='Paper',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('identifier', models.CharField(help_text='The arXiv id without its version, such as 2401.01234.', max_length=64, unique=True)),
                ('version', models.PositiveSmallIntegerField(default=1, help_text='The newest known version.')),
                ('announced_on', models.DateField(db_index=True, help_text='The day of its first announcement.')),
                ('announce_type', models.CharField(choices=[('new', 'new'), ('cross', 'cross-listed'), ('replace', 'replaced'), ('replace-cross', 'replaced cross-list'), ('listed', 'listed by Hugging Face'), ('added', 'added by a reader')], help_text="How it was first listed. Papers first listed as a replacement were announced earlier and are never mailed, nor are papers that only a reader's list added.", max_length=13)),
                ('title_raw', models.TextField(help_text='The title as in the source.')),
                ('abstract_raw', models.TextField(help_text='The abstract as in the source.')),
                ('title', models.TextField(help_text='The title in plain text.')),
                ('abstract', models.TextField(help_text='The abstract in plain text.')),
                ('authors', models.JSONField(default=list, help_text='Names in the order of the paper.')),
                ('organization', models.CharField(blank=True, help_text='The organization, if a source names one.', max_length=200)),
                ('categories', models.JSONField(default=list, help_text='arXiv categories, the primary one first.')),
                ('primary', models.CharField(blank=True, db_index=True, help_text='Its primary arXiv category.', max_length=32, verbose_name='primary category')),
                ('published_at', models.DateTimeField(blank=True, help_text='When its first version was submitted.', null=True)),
                ('doi', models.CharField(blank=True, help_text='DOI of the published version, if a source names one.', max_length=200, verbose_name='DOI')),
                ('license', models.URLField(blank=True, help_text='The license its authors chose.')),
                ('code_url', models.URLField(blank=True, help_text='The repository of its code.', max_length=500)),
                ('project_url', models.URLField(blank=True, help_text='Its project page.', max_length=500)),
                ('ai_summary', models.TextField(blank=True, help_text='One sentence, generated by Hugging Face.', verbose_name='AI summary')),
                ('ai_keywords', models.JSONField(blank=True, default=list, help_text='Keywords, generated by Hugging Face.', verbose_name='AI keywords')),
                ('votes', models.PositiveIntegerField(default=0, help_text='Upvotes in the newest attention sample.')),
                ('comments', models.PositiveIntegerField(default=0, help_text='Comments in the newest attention sample.')),
                ('stars', models.PositiveIntegerField(default=0, help_text='Stars of its repository in the newest attention sample.')),
                ('created_at', models.DateTimeField(editable=False)),
                ('updated_at', models.DateTimeField(editable=False)),
                ('vector', models.BinaryField(null=True)),
                ('vector_version', models.CharField(blank=True, db_index=True, editable=False, max_length=16)),
                ('dense_vector', models.BinaryField(null=True)),
                ('dense_version', models.CharField(blank=True, db_index=True, editable=False, max_length=16)),
            ],
            options={
                'ordering': ['-announced_on', 'identifier'],
            },
        ),
        migrations.CreateModel(
            name='Submission',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('identifier', models.CharField(help_text='The arXiv id without its version.', max_length=64, unique=True)),
                ('state', models.CharField(choices=[('checking', 'being looked up at arXiv'), ('waiting', 'waiting for an editor'), ('approved', 'approved'), ('declined', 'declined')], db_index=True, default='checking', max_length=8)),
                ('title', models.TextField(blank=True, help_text="From arXiv's API.")),
                ('authors', models.JSONField(blank=True, default=list)),
                ('abstract', models.TextField(blank=True)),
                ('primary', models.CharField(blank=True, max_length=32, verbose_name='primary category')),
                ('announced_on', models.DateField(blank=True, help_text="Its announcement day, or arXiv's date.", null=True)),
                ('why', models.CharField(blank=True, help_text='Why it was declined; shown to the readers who submitted it.', max_length=200, verbose_name='reason')),
                ('created_at', models.DateTimeField()),
                ('decided_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'ordering': ['-created_at', '-pk'],
            },
        ),
        migrations.CreateModel(
            name='Edition',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField(help_text='The announcement day.', unique=True)),
                ('state', models.CharField(choices=[('open', 'open: may be curated'), ('frozen', 'frozen: being mailed')], default='open', help_text='An open edition may be curated; a frozen one never changes.', max_length=6)),
                ('note', models.TextField(blank=True, help_text='Shown above the papers in every digest of the day.', max_length=600)),
                ('ranked_at', models.DateTimeField(editable=False, null=True)),
                ('frozen_at', models.DateTimeField(editable=False, null=True)),
            ],
            options={
                'ordering': ['-day'],
                'get_latest_by': 'day',
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('frozen_at', None), ('state', 'open')), models.Q(('frozen_at__isnull', False), ('state', 'frozen')), _connector='OR'), name='a_frozen_edition_says_when')],
            },
        ),
        migrations.CreateModel(
            name='Digest',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(default=accounts.models.new_key, editable=False, max_length=22, unique=True)),
                ('packed_picks', models.BinaryField(default=b'')),
                ('created_at', models.DateTimeField()),
                ('outcome', models.CharField(choices=[('pending', 'not sent yet'), ('accepted', 'accepted by the provider'), ('failed', 'failed'), ('unknown', 'unknown: it may have been accepted'), ('skipped', 'skipped')], default='pending', max_length=8)),
                ('reason', models.CharField(blank=True, choices=[('', ''), ('nothing', 'nothing new that matches'), ('left', 'unsubscribed or paused'), ('suppressed', 'bounced or complained before'), ('expired', 'the edition expired'), ('refused', 'refused by the provider'), ('recipient', 'refused for this recipient')], default='', max_length=10, verbose_name='reason for outcome')),
                ('provider_detail', models.CharField(blank=True, help_text="The provider's last answer about it.", max_length=300)),
                ('refusals', models.PositiveSmallIntegerField(default=0, help_text='Temporary refusals so far.')),
                ('message_id', models.CharField(blank=True, db_index=True, help_text="The provider's id for this mail.", max_length=120)),
                ('outcome_at', models.DateTimeField(help_text='When its outcome was recorded.', null=True)),
                ('resent_at', models.DateTimeField(help_text='When it was planned again because its outcome was unknown.', null=True)),
                ('batch', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='digests', to='digest.batch')),
                ('subscriber', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='digests', to='accounts.subscriber')),
                ('edition', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='digests', to='digest.edition')),
            ],
        ),
        migrations.CreateModel(
            name='Event',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.CharField(help_text='sendgrid, or click for our own redirect.', max_length=16)),
                ('key', models.CharField(help_text="The source's id of the event.", max_length=120)),
                ('semantic_key', models.CharField(help_text='A hash of its content: providers repeat events under new ids.', max_length=64)),
                ('kind', models.CharField(help_text='delivered, bounce, spamreport, click, …', max_length=24)),
                ('payload', models.JSONField(default=dict)),
                ('at', models.DateTimeField(help_text='When it happened, according to the source.')),
                ('received_at', models.DateTimeField(auto_now_add=True)),
                ('processed_at', models.DateTimeField(help_text='When it was processed; empty while it waits.', null=True)),
                ('digest', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='events', to='digest.digest')),
            ],
        ),
        migrations.CreateModel(
            name='ForeignEventCount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.CharField(max_length=16)),
                ('day', models.DateField()),
                ('number', models.PositiveIntegerField(default=0)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('source', 'day'), name='foreign_events_are_counted_by_day')],
            },
        ),
        migrations.CreateModel(
            name='Interest',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('topic', 'topic'), ('category', 'category'), ('keyword', 'keyword or phrase'), ('author', 'author'), ('paper', 'papers like this one'), ('search', 'saved search')], max_length=8)),
                ('value', models.CharField(help_text="A topic's slug, a category, a phrase, a name, a paper's identifier, or the words of a search.", max_length=250)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('kind', 'value'), name='an_interest_is_shared_by_all_who_follow_it')],
            },
        ),
        migrations.CreateModel(
            name='Follow',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('weight', models.FloatField(default=1.0, help_text='From -1 (mute) to 1 (follow).')),
                ('source', models.CharField(choices=[('chosen', 'chosen by the reader'), ('feedback', 'more or less like this'), ('opened', 'opened from a digest')], default='chosen', max_length=8)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('subscriber', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='follows', to='accounts.subscriber')),
                ('interest', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='follows', to='digest.interest')),
            ],
        ),
        migrations.CreateModel(
            name='Candidate',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('trend', models.FloatField(default=0, editable=False, help_text='0 to 1, higher is more attention.')),
                ('breakdown', models.JSONField(default=dict, editable=False, help_text='What made the trend.')),
                ('card', models.JSONField(default=dict, editable=False, help_text='The text and links that mails show.')),
                ('pin', models.PositiveSmallIntegerField(blank=True, help_text='1 to 3: this paper leads every digest of the day, in that order.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(3)])),
                ('boost', models.SmallIntegerField(default=0, help_text='-2 to 2: move it down or up among the papers that fit a reader.', validators=[django.core.validators.MinValueValidator(-2), django.core.validators.MaxValueValidator(2)])),
                ('is_hidden', models.BooleanField(default=False, help_text='Keeps it out of digests that are not chosen yet.', verbose_name='hidden')),
                ('note', models.CharField(blank=True, help_text='Shown under its title.', max_length=300)),
                ('edition', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='candidates', to='digest.edition')),
                ('paper', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='candidacies', to='digest.paper')),
            ],
            options={
                'ordering': ['pin', '-trend', 'pk'],
            },
        ),
        migrations.CreateModel(
            name='AttentionSample',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.CharField(help_text='The source: huggingface, or this site.', max_length=16)),
                ('kind', models.CharField(choices=[('upvotes', 'upvotes'), ('comments', 'comments'), ('stars', 'stars of its repository'), ('clicks', "readers' clicks of that day")], max_length=8)),
                ('value', models.PositiveIntegerField()),
                ('at', models.DateTimeField(help_text='When it was measured.')),
                ('paper', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='attention_samples', to='digest.paper')),
            ],
        ),
        migrations.CreateModel(
            name='PendingPaper',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('identifier', models.CharField(max_length=64)),
                ('at', models.DateTimeField()),
                ('not_found', models.BooleanField(default=False, help_text='arXiv knows no such paper.')),
                ('subscriber', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='pending_papers', to='accounts.subscriber')),
            ],
        ),
        migrations.CreateModel(
            name='Recall',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('reason', models.CharField(help_text='Why it was recalled.', max_length=200)),
                ('is_withdrawal', models.BooleanField(default=False, help_text='A restored version lifts such a recall.', verbose_name='withdrawn by its source')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('paper', models.OneToOneField(help_text='This paper is not mailed any more.', on_delete=django.db.models.deletion.CASCADE, related_name='recall', to='digest.paper')),
            ],
        ),
        migrations.CreateModel(
            name='SendingPause',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('reason', models.CharField(help_text='Why, for the operator who will resume it.', max_length=300)),
                ('is_automatic', models.BooleanField(default=False, editable=False, verbose_name='automatic')),
                ('at', models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name='since')),
                ('released_at', models.DateTimeField(editable=False, null=True, verbose_name='resumed')),
                ('probe_at', models.DateTimeField(editable=False, help_text='When one digest tests whether sending works again; empty if only an operator resumes.', null=True, verbose_name='next test')),
                ('probes', models.PositiveSmallIntegerField(default=0, editable=False, verbose_name='tests')),
                ('edition', models.ForeignKey(blank=True, help_text='The edition to pause; empty for all sending.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='pauses', to='digest.edition')),
            ],
        ),
        migrations.CreateModel(
            name='Slot',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(help_text='A UTC quarter hour; for other kinds, the time of planning.')),
                ('kind', models.CharField(choices=[('hour', "at the readers' hour"), ('welcome', 'after a sign-up'), ('manual', 'sent manually'), ('resend', 'sent again after an unknown outcome'), ('missed', 'after a change of schedule')], default='hour', max_length=7)),
                ('cursor', models.BigIntegerField(default=0, help_text='The last reader who is already in a batch.')),
                ('planned_at', models.DateTimeField(help_text='When its audience was complete; nothing is sent before that.', null=True)),
                ('edition', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='slots', to='digest.edition')),
            ],
        ),
        migrations.AddField(
            model_name='batch',
            name='slot',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='batches', to='digest.slot'),
        ),
        migrations.CreateModel(
            name='SubmissionRequest',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(db_index=True)),
                ('submission', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='requests', to='digest.submission')),
                ('subscriber', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='submission_requests', to='accounts.subscriber')),
            ],
        ),
        migrations.AddField(
            model_name='submission',
            name='readers',
            field=models.ManyToManyField(related_name='submissions', through='digest.SubmissionRequest', to='accounts.subscriber'),
        ),
        migrations.CreateModel(
            name='Topic',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(help_text='What readers see on the chip.', max_length=80, unique=True)),
                ('slug', models.SlugField(help_text='Part of its URL, /topics/…; do not change it.', max_length=80, unique=True)),
                ('description', models.TextField(help_text='One or two sentences; its words also find papers.')),
                ('keywords', models.JSONField(blank=True, default=list, help_text='Words and phrases of the field, as a list: ["quantization", "int4"].')),
                ('categories', models.JSONField(blank=True, default=list, help_text='arXiv categories where its papers appear: ["cs.LG"].')),
                ('position', models.PositiveSmallIntegerField(default=100, help_text='Low numbers come first in lists.')),
                ('is_listed', models.BooleanField(default=True, help_text='Clear to hide it from new readers.', verbose_name='listed')),
                ('examples', models.ManyToManyField(blank=True, help_text='Example papers; similar papers are found by them.', to='digest.paper')),
            ],
            options={
                'ordering': ['position', 'name'],
            },
        ),
        migrations.AddIndex(
            model_name='digest',
            index=models.Index(models.F('outcome_at'), condition=models.Q(('outcome__in', ['failed', 'unknown'])), name='digests_that_went_wrong'),
        ),
        migrations.AddIndex(
            model_name='digest',
            index=models.Index(models.F('edition'), condition=models.Q(('reason', 'expired')), name='digests_that_expired'),
        ),
        migrations.AddConstraint(
            model_name='digest',
            constraint=models.UniqueConstraint(fields=('subscriber', 'edition'), name='a_reader_gets_one_digest_of_an_edition'),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(models.F('received_at'), condition=models.Q(('processed_at', None)), name='events_to_process'),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(models.F('received_at'), condition=models.Q(('kind__in', ['bounce', 'dropped', 'spamreport'])), name='events_that_are_bad'),
        ),
        migrations.AddConstraint(
            model_name='event',
            constraint=models.UniqueConstraint(fields=('source', 'key'), name='an_event_is_stored_once'),
        ),
        migrations.AddConstraint(
            model_name='event',
            constraint=models.UniqueConstraint(fields=('source', 'semantic_key'), name='an_event_is_processed_once'),
        ),
        migrations.AddConstraint(
            model_name='follow',
            constraint=models.UniqueConstraint(fields=('subscriber', 'interest'), name='a_reader_has_one_stance_to_an_interest'),
        ),
        migrations.AddConstraint(
            model_name='follow',
            constraint=models.CheckConstraint(condition=models.Q(('weight__gte', -1), ('weight__lte', 1)), name='a_weight_is_between_minus_one_and_one'),
        ),
        migrations.AddConstraint(
            model_name='candidate',
            constraint=models.UniqueConstraint(fields=('edition', 'paper'), name='a_paper_is_once_in_an_edition'),
        ),
        migrations.AddConstraint(
            model_name='candidate',
            constraint=models.UniqueConstraint(fields=('edition', 'pin'), name='a_pin_has_one_paper'),
        ),
        migrations.AddConstraint(
            model_name='candidate',
            constraint=models.CheckConstraint(condition=models.Q(('pin', None), models.Q(('pin__gte', 1), ('pin__lte', 3)), _connector='OR'), name='at_most_three_pins'),
        ),
        migrations.AddConstraint(
            model_name='candidate',
            constraint=models.CheckConstraint(condition=models.Q(('boost__gte', -2), ('boost__lte', 2)), name='a_boost_is_between_minus_two_and_two'),
        ),
        migrations.AddConstraint(
            model_name='attentionsample',
            constraint=models.UniqueConstraint(fields=('paper', 'source', 'kind', 'at'), name='an_attention_sample_is_taken_once_at_a_time'),
        ),
        migrations.AddConstraint(
            model_name='pendingpaper',
            constraint=models.UniqueConstraint(fields=('subscriber', 'identifier'), name='a_reader_requests_a_paper_once'),
        ),
        migrations.AddConstraint(
            model_name='sendingpause',
            constraint=models.UniqueConstraint(django.db.models.functions.comparison.Coalesce('edition', models.Value(0)), models.F('is_automatic'), condition=models.Q(('released_at', None)), name='a_sending_pause_is_triggered_once', violation_error_message='Sending is already paused here. Resume it before you pause it again.'),
        ),
        migrations.AddConstraint(
            model_name='slot',
            constraint=models.UniqueConstraint(fields=('edition', 'at', 'kind'), name='a_slot_is_planned_once'),
        ),
        migrations.AddIndex(
            model_name='batch',
            index=models.Index(models.F('state'), models.F('lease_until'), name='batches_to_claim'),
        ),
        migrations.AddIndex(
            model_name='batch',
            index=models.Index(models.F('released_at'), name='batches_by_release'),
        ),
        migrations.AddConstraint(
            model_name='submissionrequest',
            constraint=models.UniqueConstraint(fields=('submission', 'subscriber'), name='a_reader_requests_a_submission_once'),
        ),
    ]
