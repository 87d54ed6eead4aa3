SELECT
  true AS a_boolean, TINYINT '-128' AS a_tinyint, SMALLINT '32767' AS a_smallint, -2147483648 AS an_integer,
  9223372036854775807 AS a_bigint, REAL '1.5' AS a_real, DOUBLE '-2.2250738585072014E-308' AS a_double,
  nan() AS not_a_number, infinity() AS infinite, DECIMAL '-12345678901234567890.123456789012345678' AS a_decimal,
  DECIMAL '0.10' AS a_short_decimal, CAST('ab' AS char(4)) AS a_char, CAST('Grüße, 世界 🐇' AS varchar(20)) AS a_varchar,
  'a "quoted", \ and
two-line text' AS a_text, X'00FF10' AS a_varbinary, JSON '{"a":[1,null,"é"]}' AS a_json,
  DATE '0001-01-01' AS an_early_date, DATE '2024-02-29' AS a_date, TIME '23:59:59.999999' AS a_time,
  TIME '01:02:03.456 +05:30' AS a_time_with_zone, TIMESTAMP '2020-10-25 02:30:00.123456' AS a_timestamp,
  TIMESTAMP '2020-10-25 02:30:00.123 Europe/Berlin' AS a_timestamp_with_zone,
  INTERVAL '3' DAY AS a_day_interval, INTERVAL '-2' YEAR AS a_year_interval, UUID '12151fd2-7586-11e9-8f9e-2a86e4085a59' AS a_uuid,
  IPADDRESS '2001:db8::1' AS an_address, ARRAY[1, NULL, 3] AS an_array, ARRAY[ARRAY['x'], ARRAY[]] AS a_nested_array,
  MAP(ARRAY['k', 'l'], ARRAY[1, NULL]) AS a_map, CAST(ROW(1, 'two', NULL) AS ROW(x integer, y varchar, z date)) AS a_row,
  CAST(NULL AS varchar) AS a_null, NULL AS an_unknown, '' AS an_empty_text
