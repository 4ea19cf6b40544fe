import accounts.models
import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [
        migrations.CreateModel(
            name='Suppression',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('address_hash', models.CharField(help_text='HMAC-SHA256 of the address under SUPPRESSION_KEY.', max_length=64, unique=True)),
                ('reason', models.CharField(choices=[('bounce', 'bounced'), ('complaint', 'reported as spam'), ('invalid', 'invalid address'), ('manual', 'suppressed by an operator'), ('requested', 'blocked by its owner')], help_text='Why this address is not mailed.', max_length=10)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                'verbose_name': 'suppressed address',
                'verbose_name_plural': 'suppressed addresses',
            },
        ),
        migrations.CreateModel(
            name='User',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('password', models.CharField(max_length=128, verbose_name='password')),
                ('last_login', models.DateTimeField(blank=True, null=True, verbose_name='last login')),
                ('is_superuser', models.BooleanField(default=False, help_text='Designates that this user has all permissions without explicitly assigning them.', verbose_name='superuser status')),
                ('email', models.EmailField(help_text='The address this person signs in with.', max_length=254, unique=True)),
                ('name', models.CharField(blank=True, help_text='The name shown in the history.', max_length=120)),
                ('is_staff', models.BooleanField(default=False, help_text='Can sign in to the admin.', verbose_name='staff status')),
                ('is_active', models.BooleanField(default=True, help_text='Clear this instead of deleting the account, so that the history keeps the name.', verbose_name='active')),
                ('date_joined', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('two_factor_at', models.DateTimeField(editable=False, null=True, verbose_name='two-factor authentication since')),
                ('groups', models.ManyToManyField(blank=True, help_text='The groups this user belongs to. A user will get all permissions granted to each of their groups.', related_name='user_set', related_query_name='user', to='auth.group', verbose_name='groups')),
                ('user_permissions', models.ManyToManyField(blank=True, help_text='Specific permissions for this user.', related_name='user_set', related_query_name='user', to='auth.permission', verbose_name='user permissions')),
            ],
            options={
                'verbose_name': 'editor',
            },
        ),
        migrations.CreateModel(
            name='Subscriber',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('email', models.EmailField(help_text='The address that digests are sent to.', max_length=254, unique=True)),
                ('address_hash', models.CharField(db_index=True, editable=False, max_length=64)),
                ('state', models.CharField(choices=[('pending', 'not confirmed'), ('active', 'active'), ('left', 'unsubscribed')], default='pending', help_text='Only readers who confirmed by a mailed link get digests.', max_length=8)),
                ('zone', models.CharField(default='UTC', help_text="The reader's time zone, such as Europe/Berlin.", max_length=64, validators=[accounts.models.validate_zone], verbose_name='time zone')),
                ('hour', models.PositiveSmallIntegerField(default=7, help_text='The local hour of the digest, 0 to 23.', validators=[django.core.validators.MaxValueValidator(23)])),
                ('frequency', models.CharField(choices=[('daily', 'every day with new papers'), ('weekdays', 'Monday to Friday'), ('weekly', 'once a week')], default='daily', help_text='How often the reader gets a digest.', max_length=8)),
                ('weekday', models.PositiveSmallIntegerField(choices=[(0, 'Monday'), (1, 'Tuesday'), (2, 'Wednesday'), (3, 'Thursday'), (4, 'Friday'), (5, 'Saturday'), (6, 'Sunday')], default=0, help_text='The day of a weekly digest.')),
                ('length', models.PositiveSmallIntegerField(default=10, help_text='The maximum number of papers in a digest, 1 to 30.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(30)], verbose_name='papers in a digest')),
                ('fill_mode', models.CharField(choices=[('followed_only', 'only papers that match their interests'), ('followed_first', 'matching papers first, then trending papers'), ('half', 'half matching, half trending')], default='followed_first', help_text='How trending papers fill a digest.', max_length=14)),
                ('note_when_empty', models.BooleanField(default=False, help_text='Send a short note on days without a matching paper, instead of no mail.', verbose_name='note when empty')),
                ('learns_from_clicks', models.BooleanField(default=True, help_text='Papers they open count as weak interests.', verbose_name='learns from clicks')),
                ('paused_until', models.DateTimeField(blank=True, help_text='No digests before this time.', null=True)),
                ('unsubscribe_key', models.CharField(default=accounts.models.new_key, editable=False, max_length=22, unique=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('confirmed_at', models.DateTimeField(editable=False, null=True)),
                ('left_at', models.DateTimeField(editable=False, null=True)),
                ('consent_text', models.CharField(blank=True, editable=False, max_length=200)),
                ('consent_how', models.CharField(blank=True, editable=False, max_length=40)),
            ],
            options={
                'verbose_name': 'reader',
                'indexes': [models.Index(models.F('state'), models.F('hour'), models.F('zone'), name='readers_by_hour')],
                'constraints': [models.CheckConstraint(condition=models.Q(('hour__lte', 23)), name='a_readers_hour_is_0_to_23')],
            },
        ),
        migrations.CreateModel(
            name='Link',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('purpose', models.CharField(choices=[('confirm', 'confirm a sign-up'), ('preferences', 'open preferences'), ('address', 'confirm a new address')], max_length=12)),
                ('key', models.CharField(default=accounts.models.new_key, max_length=22, unique=True)),
                ('payload', models.JSONField(default=dict, help_text="The visitor's untrusted input that belongs to the request.")),
                ('created_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField()),
                ('used_at', models.DateTimeField(null=True)),
                ('subscriber', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='links', to='accounts.subscriber')),
            ],
        ),
        migrations.CreateModel(
            name='AccountMail',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('sign_up', 'sign-up'), ('preferences', 'preferences link'), ('address', 'change of address'), ('move_notice', 'notice to the previous address'), ('staff_password', 'link to set a staff password')], max_length=16)),
                ('email', models.EmailField(db_index=True, max_length=254, verbose_name='to')),
                ('payload', models.JSONField(default=dict, help_text="The visitor's untrusted input that belongs to the request.")),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='requested')),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('next_attempt_at', models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
                ('last_error', models.CharField(blank=True, help_text='Why the last attempt failed.', max_length=300)),
                ('link', models.OneToOneField(help_text='Issued at the first attempt.', null=True, on_delete=django.db.models.deletion.CASCADE, to='accounts.link')),
                ('subscriber', models.ForeignKey(help_text='The reader whose address changes.', null=True, on_delete=django.db.models.deletion.CASCADE, to='accounts.subscriber')),
            ],
            options={
                'verbose_name': 'waiting account mail',
            },
        ),
    ]
