\ir _queue.sql
select expect(row(settled, result, tries)::text, '(f,,1)', 'first try') from begin_effect('a');
select expect(row(settled, result, tries)::text, '(f,,2)', 'second try') from begin_effect('a');
select settle_effect('a', 'done') \gset
select expect(row(settled, result, tries)::text, '(t,done,2)', 'settled') from begin_effect('a');
select raises($$select settle_effect('a', 'again')$$, 'key: no effect "a" is under way');
select raises($$select settle_effect('b', 'never begun')$$, 'key: no effect "b" is under way');
select begin_effect('open') \gset
select expect(trim_effects('0 seconds'), 1::bigint, 'settled ones are forgotten');
select expect((select string_agg(key, ',') from effect), 'open', 'open ones stay');
