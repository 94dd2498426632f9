// The instances: who is there, since when, how far behind.
import {get} from "./api.js";
import {empty, h, replace, table} from "./dom.js";
import {ago, chip, count, duration} from "./format.js";
import {heading, keepLoading, pages} from "./view.js";

const size = 100;
const most = 1000;  // counts of waiting messages end there
const columns = [{title: "Instance", wide: true}, {title: "State"}, {title: "Last seen"}, {title: "Waiting for it", numeric: true},
  {title: "Oldest", numeric: true}, {title: "Version"}, {title: "Takes part as"}, {title: "Registered"}];

function row(each) {
  return {key: each.instance_id, class: each.fresh ? null : "tone-warn", cells: [
    h("strong", {}, each.instance_id), each.fresh ? chip("live", "good") : chip("not heard of", "warn"), ago(each.last_seen_at),
    each.waiting >= most ? `${count(most)}+` : count(each.waiting), each.oldest_waiting_seconds > 0 ? duration(each.oldest_waiting_seconds) : "",
    each.version, each.roles.join(", "), ago(each.registered_at)]};
}

export function instances(main) {
  const list = h("div");
  const paged = pages({
    size,
    keyOf: (each) => each.instance_id,
    fetchPage: async (after) => {
      const search = new URLSearchParams({limit: size});
      if (after) search.set("after", after);
      return (await get(`/v1/instances?${search}`)).instances;
    },
    draw: (rows) => replace(list, rows.length ? table("Instances", columns, rows.map(row))
      : empty("No instance has registered", "Enroll one, put what it prints into its configuration, and start it:",
        h("code", {}, "centralcloud_daemon enroll NAME"), h("code", {}, "singularity_agent run --config agent.ini"))),
  });
  const loading = keepLoading(paged.load, {everyMs: 5000});
  main.append(heading("Instances"), h("p", {class: "muted"}, "An instance that is not heard of has no vote. What is sent to it waits until it is back."),
    loading.error, list, paged.more);
  return loading;
}
