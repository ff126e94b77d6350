# As in Apache's image: KAFKA_LOG_DIRS becomes log.dirs, and so on; the folder is formatted the first time.
set -euo pipefail
env | grep '^KAFKA_' | grep -v '^KAFKA_HEAP_OPTS=' | while IFS='=' read -r name value; do
  name=${name#KAFKA_}
  echo "$(tr '[:upper:]_' '[:lower:].' <<<"$name")=$value"
done >/tmp/server.properties
read -ra heap <<<"${KAFKA_HEAP_OPTS:--Xms128m -Xmx512m}"
java=(java "${heap[@]}" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "-Dlog4j2.configurationFile=/opt/kafka/log4j2.yaml" -cp '/opt/kafka/libs/*')
"${java[@]}" kafka.tools.StorageTool format --ignore-formatted --standalone -t "${CLUSTER_ID:-5L6g3nShT-eMCtK--X86sw}" -c /tmp/server.properties
exec "${java[@]}" kafka.Kafka /tmp/server.properties
